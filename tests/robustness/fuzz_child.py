"""A process that tries inputs for tests/test_fuzz.py: `fuzz_child.py [SAVED_MODEL]`.

Reads requests from standard input, one JSON object a line, and answers each with a line
of JSON: what became of it, and the most memory the process has held until then, with
that of the largest ffmpeg. Whoever asks sees from the missing answer that an input has
ended or hung the process.

Without a SavedModel only images, pairing and videos are tried, and TensorFlow is not
imported.
"""

import json
import os
import pathlib
import resource
import sys
import traceback


def try_video(request):
    from densefuse_tf.io import video as ffmpeg

    path = pathlib.Path(request["video"])
    try:
        video = ffmpeg.open_video(path, request["max_pixels"], ffmpeg.unseen)
        for frame in video.frames():
            assert frame.shape[:2] == video.size
    finally:
        try:
            left = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            left = None
        assert left is None, "an ffmpeg is left"
    return f"read {video.count} of {video.size}"


def try_images(request):
    from densefuse_tf.io import images
    from densefuse_tf.io import pixels

    if "video" in request:
        return try_video(request)
    if "image" in request:
        image = images.read(request["image"], max_pixels=request["max_pixels"])
        pixels.check(image, "it")
        return f"read {image.shape} {image.dtype}"
    pairs = images.pair(request["pair"])
    assert all(len(pair) == len(request["pair"]) for pair in pairs)
    return f"{len(pairs)} pairs"


class Models:
    def __init__(self, saved_model):
        import tensorflow as tf

        self._tf = tf
        self._fuse = tf.saved_model.load(saved_model).signatures["fuse_encoded"]

    def __call__(self, request):
        if "checkpoint" in request:
            from densefuse_tf.model import checkpoints

            checkpoints.load_autoencoder(request["checkpoint"])
            return "loaded"
        files = []
        for path in request["fuse"]:
            with open(path, "rb") as file:
                files.append(self._tf.constant([file.read()]))
        result = self._fuse(ir_bytes=files[0], vis_bytes=files[1])["fused_bytes"]
        assert result.numpy()[0].startswith(b"\x89PNG")
        return "fused"


def peak_memory():
    """In bytes. What getrusage tells would include the parent's, from before exec.

    Of ffmpeg it does, too, and nothing else tells it: the sum is on the safe side.
    """
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM:")]
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (int(line.split()[1]) + children) * 1024


def main():
    from densefuse_tf.errors import UserError

    # Whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    refusals = (UserError,)
    attempt = try_images
    if len(sys.argv) > 1:
        attempt = Models(sys.argv[1])
        from tensorflow.errors import InvalidArgumentError

        refusals = (UserError, InvalidArgumentError)
    print(json.dumps({"peak": peak_memory()}), file=answers, flush=True)
    for line in sys.stdin:
        answer = {"end": "result"}
        try:
            answer["text"] = attempt(json.loads(line))
        except refusals as error:
            answer = {"end": "refused", "text": str(error)}
            if isinstance(error, UserError) and "\n" in str(error):
                answer["end"] = "more than one line"
        except BaseException:
            answer = {"end": "another exception", "text": traceback.format_exc()}
        answer["peak"] = peak_memory()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
