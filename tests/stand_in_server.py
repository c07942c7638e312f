"""TensorFlow Serving's REST and gRPC predict calls over one SavedModel, for the tests.

  python tests/stand_in_server.py models/densefuse/1

Prints the ports of REST and gRPC, serves on the loopback interface, and ends with its
standard input. It follows TensorFlow Serving's documentation of the two protocols and
knows nothing of this project, which it makes impossible to import.
"""

import base64
import concurrent.futures
import http.server
import json
import sys
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

MODEL = "densefuse"


def predict(loaded, signature_name, inputs):
    """The outputs by name, arrays, for inputs by name, tensors or nested lists."""
    signature = loaded.signatures[signature_name]
    specs = signature.structured_input_signature[1]
    if inputs.keys() != specs.keys():
        raise ValueError(f"inputs are {sorted(inputs)}: expected {sorted(specs)}")
    tensors = {
        name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()
    }
    return {name: value.numpy() for name, value in signature(**tensors).items()}


def from_json(value):
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def to_json(name, value):
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def rest_predict(loaded, body):
    """The row format: one object for each instance."""
    instances = body["instances"]
    inputs = {
        name: [from_json(instance[name]) for instance in instances]
        for name in instances[0]
    }
    outputs = predict(loaded, body.get("signature_name", "serving_default"), inputs)
    rows = [
        {name: to_json(name, value[index]) for name, value in outputs.items()}
        for index in range(len(instances))
    ]
    # A single output goes without its name.
    return [next(iter(row.values())) if len(row) == 1 else row for row in rows]


def rest_server(loaded):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == f"/v1/models/{MODEL}:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"predictions": rest_predict(loaded, body)}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def grpc_server(loaded):
    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.name == MODEL
            inputs = {
                name: tf.make_ndarray(value) for name, value in request.inputs.items()
            }
            outputs = predict(loaded, request.model_spec.signature_name, inputs)
            response = predict_pb2.PredictResponse(model_spec=request.model_spec)
            for name in request.output_filter or outputs:
                value = np.asarray(outputs[name])
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main():
    sys.modules["densefuse_tf"] = None
    loaded = tf.saved_model.load(sys.argv[1])
    rest = rest_server(loaded)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    server, grpc_port = grpc_server(loaded)
    print(rest.server_address[1], grpc_port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()
    rest.shutdown()


if __name__ == "__main__":
    main()
