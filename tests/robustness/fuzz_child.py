"""A process that tries inputs for test_fuzz.py: `fuzz_child.py [SAVED_MODEL]`.

It reads requests from standard input, one JSON object a line, and answers each with
one: what became of the input. A missing answer tells that an input has ended the
process or hangs. Without a SavedModel it imports no TensorFlow.
"""

import functools
import json
import os
import pathlib
import sys
import traceback


def try_image(image):
    from densefuse_tf.io import images
    from densefuse_tf.io import pixels

    read = images.read(image, max_pixels=20_000_000)
    pixels.check(read, "it")
    return f"read {read.shape} {read.dtype}"


def try_pairing(pair):
    from densefuse_tf.io import images

    pairs = images.pair(pair)
    assert all(len(each) == len(pair) for each in pairs)
    return f"{len(pairs)} pairs"


def try_video(video):
    from densefuse_tf.io import video as io_video

    try:
        opened = io_video.open_video(pathlib.Path(video), 2_000_000, io_video.unseen)
        frames = sum(frame.shape[:2] == opened.size for frame in opened.frames())
        assert frames == opened.count
    finally:
        try:
            left = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            left = None
        assert left is None, "an ffmpeg is left"
    return f"read {opened.count} of {opened.size}"


def try_checkpoint(checkpoint):
    from densefuse_tf.model import checkpoints

    checkpoints.load_autoencoder(checkpoint)
    return "loaded"


@functools.cache
def signature():
    import tensorflow as tf

    return tf.saved_model.load(sys.argv[1]).signatures["fuse_encoded"]


def try_fusing(fuse):
    import tensorflow as tf

    files = [tf.constant([pathlib.Path(path).read_bytes()]) for path in fuse]
    result = signature()(ir_bytes=files[0], vis_bytes=files[1])["fused_bytes"]
    assert result.numpy()[0].startswith(b"\x89PNG")
    return "fused"


ATTEMPTS = {
    "image": try_image,
    "pair": try_pairing,
    "video": try_video,
    "checkpoint": try_checkpoint,
    "fuse": try_fusing,
}


def main():
    from densefuse_tf.errors import UserError

    # Whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    refusals = (UserError,)
    if len(sys.argv) > 1:
        from tensorflow.errors import InvalidArgumentError

        refusals = (UserError, InvalidArgumentError)
    for line in sys.stdin:
        request = json.loads(line)
        (what,) = request
        try:
            answer = {"end": "result", "text": ATTEMPTS[what](**request)}
        except refusals as error:
            answer = {"end": "refused", "text": str(error)}
            if isinstance(error, UserError) and "\n" in str(error):
                answer["end"] = "more than one line"
        except BaseException:
            answer = {"end": "another exception", "text": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
