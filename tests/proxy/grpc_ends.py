# SPDX-License-Identifier: Apache-2.0
# Both ends of gRPC, by the library that others use. Messages are bytes: there is nothing to generate.
#
#   grpc_ends.py serve PORT                          says "serving", and on SIGTERM ends what is under way first
#   grpc_ends.py call ADDRESS HOST TEST [CA.pem]     one of the functions below, against ADDRESS with HOST for authority
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

LIMITS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
ended = []  # of "hang": how each of its calls ended
under_way = threading.Semaphore(0)


def echo(request, context):
    sent = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata([(key + "-back", value) for key, value in sent if not key.endswith("-bin")])
    context.set_trailing_metadata([(key.replace("-bin", "-end-bin"), value) for key, value in sent if key.endswith("-bin")])
    return request


def fail(request, context):
    number, _, why = request.decode().partition(" ")
    context.set_trailing_metadata([("x-why-bin", b"\x00\xff")])
    context.abort({code.value[0]: code for code in grpc.StatusCode}[int(number)], why)


def fail_late(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "lost: \u00fc")


def download(request, context):
    count, size = map(int, request.split())
    for at in range(count):
        yield bytes([at % 256]) * size


def upload(requests, context):
    count = total = 0
    for one in requests:
        count, total = count + 1, total + len(one)
    return b"%d %d" % (count, total)


def chat(requests, context):
    for one in requests:
        yield b"re: " + one


def early(requests, context):  # an end that does not wait for the client's
    next(requests)
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def hang(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    began = time.monotonic()
    try:
        yield b"begun"  # a call that is over by now goes no further
        over.wait(30)
    finally:
        ended.append(time.monotonic() - began)


def how_ended(request, context):
    return b" ".join(b"%.2f" % one for one in ended)


def quiet(request, context):
    yield b"one"
    time.sleep(float(request))
    yield b"two"


def slow(request, context):
    time.sleep(float(request))
    return request


def port_of(request, context):
    return sys.argv[2].encode()


class Methods(grpc.GenericRpcHandler):
    KINDS = {"echo": (echo, grpc.unary_unary_rpc_method_handler), "fail": (fail, grpc.unary_unary_rpc_method_handler),
             "fail_late": (fail_late, grpc.unary_stream_rpc_method_handler),
             "download": (download, grpc.unary_stream_rpc_method_handler),
             "upload": (upload, grpc.stream_unary_rpc_method_handler), "chat": (chat, grpc.stream_stream_rpc_method_handler),
             "early": (early, grpc.stream_stream_rpc_method_handler), "hang": (hang, grpc.unary_stream_rpc_method_handler),
             "how_ended": (how_ended, grpc.unary_unary_rpc_method_handler),
             "quiet": (quiet, grpc.unary_stream_rpc_method_handler), "slow": (slow, grpc.unary_unary_rpc_method_handler),
             "port_of": (port_of, grpc.unary_unary_rpc_method_handler)}

    def service(self, details):
        found = self.KINDS.get(details.method.rpartition("/")[2])
        return found and found[1](found[0])


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(64), options=LIMITS)
    server.add_generic_rpc_handlers([Methods()])
    assert server.add_insecure_port("127.0.0.1:" + port)
    server.start()
    print("serving", flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    server.stop(5).wait()


# --- calls: each fails by an assertion --------------------------------------------------------------------------------


class Calls:
    def __init__(self, channel):
        self.channel = channel

    def one(self, name, request=b"", **more):
        return self.channel.unary_unary("/t.T/" + name).with_call(request, timeout=20, **more)

    def down(self, name, request=b"", timeout=20):
        return self.channel.unary_stream("/t.T/" + name)(request, timeout=timeout)

    def both(self, name, requests, timeout=20):
        return self.channel.stream_stream("/t.T/" + name)(requests, timeout=timeout)


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error came")


def unary(calls):
    for size in (0, 1, 100, 70_000, 3_000_000):
        answer, _ = calls.one("echo", b"x" * size)
        assert answer == b"x" * size, (size, len(answer))


def metadata(calls):
    answer, call = calls.one("echo", b"m", metadata=[("x-one", "1"), ("x-two", "a b"), ("x-raw-bin", bytes(range(256)))])
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert first["x-one-back"] == "1" and first["x-two-back"] == "a b", first
    assert last["x-raw-end-bin"] == bytes(range(256)), last


def statuses(calls):
    for number in (1, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16):
        error = error_of(lambda number=number: calls.one("fail", b"%d why %d \xc3\xbc" % (number, number)))
        assert error.code().value[0] == number and error.details() == f"why {number} \u00fc", (number, error)
        assert dict(error.trailing_metadata())["x-why-bin"] == b"\x00\xff"
    got = []
    error = error_of(lambda: got.extend(calls.down("fail_late")))
    assert got == [b"one", b"two"] and error.code() == grpc.StatusCode.DATA_LOSS and error.details() == "lost: \u00fc", error
    error = error_of(lambda: calls.one("none"))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def server_streams(calls):
    for count, size in ((0, 0), (1, 5), (1000, 10), (30, 1_000_000)):
        got = list(calls.down("download", b"%d %d" % (count, size)))
        assert got == [bytes([at % 256]) * size for at in range(count)], (count, size, len(got))


def client_streams(calls):
    for count, size in ((0, 0), (1, 5), (1000, 10), (30, 1_000_000)):
        answer = calls.channel.stream_unary("/t.T/upload")(iter([b"u" * size] * count), timeout=20)
        assert answer == b"%d %d" % (count, count * size), answer


def both_ways(calls):  # each message only when the answer to the one before it is there
    turn = threading.Semaphore(1)

    def requests():
        for at in range(200):
            assert turn.acquire(timeout=10)
            yield b"%d" % at

    for at, answer in enumerate(calls.both("chat", requests())):
        assert answer == b"re: %d" % at, answer
        turn.release()
    assert at == 199
    got = list(calls.both("chat", iter([b"c" * 100_000] * 100)))
    assert len(got) == 100 and all(len(one) == 100_004 for one in got)


def many_at_once(calls):
    futures_of = [calls.channel.unary_unary("/t.T/echo").future(b"%d" % at * 1000, timeout=20) for at in range(500)]
    for at, one in enumerate(futures_of):
        assert one.result() == b"%d" % at * 1000


def early_end(calls):
    def endless():
        while True:
            yield b"e" * 1000
            time.sleep(0.01)

    error = error_of(lambda: list(calls.both("early", endless())))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and error.details() == "enough", error


def cancels(calls):
    before = len(calls.one("how_ended")[0].split())
    for _ in range(3):
        call = calls.down("hang")
        assert next(call) == b"begun"
        call.cancel()
    for _ in range(40):
        times = calls.one("how_ended")[0].split()[before:]
        if len(times) == 3:
            break
        time.sleep(0.05)
    assert len(times) == 3 and all(float(one) < 2 for one in times), times


def deadlines(calls):
    before = len(calls.one("how_ended")[0].split())
    error = error_of(lambda: list(calls.down("hang", timeout=0.3)))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    time.sleep(0.3)
    times = calls.one("how_ended")[0].split()[before:]
    assert len(times) == 1 and float(times[0]) < 1.5, times


# For longer than the proxy waits for a backend that is to answer: the client has not ended its part, and may speak.
def quiet_chat(calls):
    def requests():
        yield b"1"
        time.sleep(5)
        yield b"2"

    assert list(calls.both("chat", requests())) == [b"re: 1", b"re: 2"]


def silent_backend(calls):
    error = error_of(lambda: calls.one("slow", b"5"))
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "504" in error.details(), error


def no_backend(calls):
    error = error_of(lambda: calls.one("echo", b"x"))
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "502" in error.details(), error


def steadily(calls):  # while servers come and go: until a line comes
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    count, cancelled, of = 0, 0, {}
    while not over.is_set():
        try:
            port = calls.one("port_of")[0].decode()
        except grpc.RpcError as error:
            # A server of grpc that begins to end cancels the call that has come and has not been taken yet: it might
            # have been, so nobody may ask again.
            cancelled += 1
            if error.code() != grpc.StatusCode.CANCELLED or cancelled > 2:  # two servers end
                raise
            continue
        of[port] = of.get(port, 0) + 1
        count += 1
    print(count, " ".join(f"{port}:{many}" for port, many in sorted(of.items())))


def call(address, host, test, *authority):
    options = LIMITS + [("grpc.default_authority", host), ("grpc.enable_retries", 0)]
    if authority:
        with open(authority[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, credentials, options + [("grpc.ssl_target_name_override", host)])
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        globals()[test](Calls(channel))


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
