// SPDX-License-Identifier: Apache-2.0
#include "keeper/streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::keeper {
namespace {

using namespace std::chrono_literals;

std::string frame(Stream stream, std::string_view data) {
  std::string head{static_cast<char>(stream),     0, 0, 0, 0, 0, static_cast<char>(data.size() >> 8),
                   static_cast<char>(data.size())};
  return head + std::string(data);
}

// The far ends of a process's streams: the process's own.
struct Process {
  Fd input, output, errors;
};

class StreamsTest : public testing::Test {
 protected:
  // As the keeper does: a process may close its input at any time.
  StreamsTest() { signal(SIGPIPE, SIG_IGN); }

  Streams& make(bool close_input_at_end = false, LogWriter* log = nullptr) {
    streams_.emplace(loop_, log, close_input_at_end, [this] { ++changes_; });
    return *streams_;
  }
  Process adopt_pipes() {
    Pipe in = make_pipe().value(), out = make_pipe().value(), err = make_pipe().value();
    EXPECT_TRUE(streams_->adopt({std::move(in.write), std::move(out.read), std::move(err.read), false}));
    return {std::move(in.read), std::move(out.write), std::move(err.write)};
  }
  Process adopt_terminal() {
    int master, slave;
    EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    EXPECT_TRUE(streams_->adopt({Fd(), Fd(master), Fd(), true}));
    Process process{Fd(slave), Fd(), Fd()};
    process.output = process.input.duplicate().value();
    return process;
  }
  Fd attach(Attach options) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM).value();
    streams_->attach(std::move(theirs), options);
    return std::move(ours);
  }
  // Runs the loop until nothing more happens for a moment.
  void settle() {
    for (int rounds = 0; rounds < 20'000; ++rounds) {
      bool idle = false;
      EventLoop::Timer timer = loop_.after(20ms, [&] { idle = true; });
      ASSERT_TRUE(loop_.run_once());
      loop_.cancel(timer);
      if (idle) return;
    }
    FAIL() << "the loop spins";
  }
  // One round, without waiting.
  void step() {
    EventLoop::Timer timer = loop_.after(0ns, [] {});
    ASSERT_TRUE(loop_.run_once());
    loop_.cancel(timer);
  }
  // What `fd` has to say by now; `ended` tells whether it is at its end.
  static std::string drain_of(const Fd& fd, bool* ended = nullptr) {
    std::string all;
    char buffer[65536];
    if (ended) *ended = false;
    for (;;) {
      pollfd ready{fd.get(), POLLIN, 0};
      if (poll(&ready, 1, 0) <= 0) return all;
      ssize_t got = read(fd.get(), buffer, sizeof buffer);
      if (got <= 0) {
        if (ended) *ended = true;
        return all;
      }
      all.append(buffer, static_cast<std::size_t>(got));
    }
  }
  static bool ended(const Fd& fd) {
    bool at_end = false;
    drain_of(fd, &at_end);
    return at_end;
  }

  EventLoop loop_ = EventLoop::create().value();
  int changes_ = 0;
  std::optional<Streams> streams_;
};

TEST_F(StreamsTest, OutputIsFramedByStreamOrRaw) {
  make();
  Process process = adopt_pipes();
  Fd framed = attach({.output = true, .errors = true, .framed = true});
  Fd raw = attach({.output = true, .errors = true});
  ASSERT_TRUE(write_all(process.output.get(), "out"));
  settle();
  ASSERT_TRUE(write_all(process.errors.get(), std::string(300, 'e')));
  settle();
  EXPECT_EQ(drain_of(framed), frame(Stream::output, "out") + frame(Stream::errors, std::string(300, 'e')));
  EXPECT_EQ(drain_of(raw), "out" + std::string(300, 'e'));
}

TEST_F(StreamsTest, EveryClientGetsWhatItAskedFor) {
  make();
  Process process = adopt_pipes();
  Fd both = attach({.output = true, .errors = true}), out = attach({.output = true}),
     err = attach({.errors = true}), input_only = attach({.input = true});
  ASSERT_TRUE(write_all(process.output.get(), "o"));
  settle();
  ASSERT_TRUE(write_all(process.errors.get(), "e"));
  settle();
  EXPECT_EQ(drain_of(both), "oe");
  EXPECT_EQ(drain_of(out), "o");
  EXPECT_EQ(drain_of(err), "e");
  EXPECT_EQ(drain_of(input_only), "");
}

TEST_F(StreamsTest, WhoAttachesBeforeTheProcessMissesNothing) {
  make();
  Fd client = attach({.input = true, .output = true, .initial_input = "early "});
  ASSERT_TRUE(write_all(client.get(), "later"));
  settle();
  Process process = adopt_pipes();
  ASSERT_TRUE(write_all(process.output.get(), "first"));
  settle();
  EXPECT_EQ(drain_of(process.input), "early later");
  EXPECT_EQ(drain_of(client), "first");
}

TEST_F(StreamsTest, InputOfSeveralClientsReachesTheProcess) {
  make();
  Process process = adopt_pipes();
  Fd one = attach({.input = true}), two = attach({.input = true}), mute = attach({.output = true});
  ASSERT_TRUE(write_all(one.get(), "1"));
  settle();
  ASSERT_TRUE(write_all(two.get(), "2"));
  ASSERT_TRUE(write_all(mute.get(), "not asked for"));
  settle();
  EXPECT_EQ(drain_of(process.input), "12");
}

TEST_F(StreamsTest, AHalfClosedClientEndsTheInputAndStillReads) {
  make(true);
  Process process = adopt_pipes();
  Fd client = attach({.input = true, .output = true});
  ASSERT_TRUE(write_all(client.get(), "last"));
  shutdown(client.get(), SHUT_WR);
  settle();
  bool at_end = false;
  EXPECT_EQ(drain_of(process.input, &at_end), "last");
  EXPECT_TRUE(at_end);
  ASSERT_TRUE(write_all(process.output.get(), "answer"));
  settle();
  EXPECT_EQ(drain_of(client), "answer");
  EXPECT_FALSE(streams_->idle());
}

TEST_F(StreamsTest, AnInputThatMayBeOpenedAgainIsNotEnded) {
  make(false);
  Process process = adopt_pipes();
  Fd client = attach({.input = true, .output = true});
  shutdown(client.get(), SHUT_WR);
  settle();
  EXPECT_FALSE(ended(process.input));
  Fd next = attach({.input = true});
  ASSERT_TRUE(write_all(next.get(), "again"));
  settle();
  EXPECT_EQ(drain_of(process.input), "again");
}

TEST_F(StreamsTest, AnInputThatEndedBeforeTheProcessEndsIt) {
  make(true);
  Fd client = attach({.input = true, .output = true, .initial_input = "all there is"});
  shutdown(client.get(), SHUT_WR);
  settle();
  Process process = adopt_pipes();
  settle();
  bool at_end = false;
  EXPECT_EQ(drain_of(process.input, &at_end), "all there is");
  EXPECT_TRUE(at_end);
}

TEST_F(StreamsTest, MoreInputThanAPipeHoldsArrivesWhole) {
  make(true);
  Process process = adopt_pipes();
  Fd client = attach({.input = true});
  fcntl(client.get(), F_SETFL, O_NONBLOCK);
  std::string sent, received;
  for (int i = 0; sent.size() < 1u << 20; ++i) sent += std::to_string(i) + ",";
  bool at_end = false;
  for (std::size_t offset = 0; !at_end;) {
    if (offset < sent.size()) {
      ssize_t put = write(client.get(), sent.data() + offset, sent.size() - offset);
      if (put > 0) offset += static_cast<std::size_t>(put);
      if (offset == sent.size()) shutdown(client.get(), SHUT_WR);
    }
    settle();
    received += drain_of(process.input, &at_end);
  }
  EXPECT_TRUE(received == sent);
}

TEST_F(StreamsTest, AClientThatDoesNotReadHoldsTheProcessBackAndLosesNothing) {
  make();
  Process process = adopt_pipes();
  Fd slow = attach({.output = true}), quick = attach({.output = true});
  fcntl(process.output.get(), F_SETFL, O_NONBLOCK);
  std::string written;
  std::string quick_read;
  // Until the process could not write any more.
  for (int stalls = 0; stalls < 3;) {
    const std::string piece = std::to_string(written.size()) + std::string(1000, '.');
    ssize_t put = write(process.output.get(), piece.data(), piece.size());
    if (put > 0) {
      written.append(piece, 0, static_cast<std::size_t>(put));
      step();
      continue;
    }
    settle();
    quick_read += drain_of(quick);
    ++stalls;
    if (written.size() > 16u << 20) FAIL() << "nothing holds the process back";
    pollfd room{process.output.get(), POLLOUT, 0};
    if (poll(&room, 1, 0) > 0) stalls = 0;
  }
  EXPECT_GT(written.size(), kClientBuffer);
  EXPECT_LT(written.size(), kClientBuffer * 2);
  std::string slow_read;
  for (int i = 0; i < 100 && slow_read.size() < written.size(); ++i) {
    slow_read += drain_of(slow);
    settle();
    quick_read += drain_of(quick);
  }
  EXPECT_TRUE(slow_read == written);
  EXPECT_TRUE(quick_read == written);
}

TEST_F(StreamsTest, AClientThatTypesButDoesNotReadHoldsATerminalBackToo) {
  make();
  Process process = adopt_terminal();
  Fd client = attach({.input = true, .output = true});
  fcntl(client.get(), F_SETFL, O_NONBLOCK);
  fcntl(process.output.get(), F_SETFL, O_NONBLOCK);
  std::size_t written = 0;
  const std::string piece(2048, 'o'), typed(4096, 'i');
  for (int i = 0; i < 6000; ++i) {
    (void)!write(client.get(), typed.data(), typed.size());
    step();
    char ignored[512];
    pollfd ready{process.input.get(), POLLIN, 0};
    if (poll(&ready, 1, 0) > 0) (void)!read(process.input.get(), ignored, sizeof ignored);
    ssize_t put = write(process.output.get(), piece.data(), piece.size());
    if (put > 0) written += static_cast<std::size_t>(put);
  }
  EXPECT_LT(written, kClientBuffer * 2) << "memory grows with what the client does not read";
}

TEST_F(StreamsTest, AClientThatHangsUpWhileItHoldsThingsBackLetsGo) {
  make();
  Process process = adopt_pipes();
  Fd slow = attach({.output = true});
  fcntl(process.output.get(), F_SETFL, O_NONBLOCK);
  const std::string piece(65536, 'x');
  for (int i = 0; i < 100; ++i) {
    (void)!write(process.output.get(), piece.data(), piece.size());
    step();
  }
  pollfd room{process.output.get(), POLLOUT, 0};
  ASSERT_EQ(poll(&room, 1, 0), 0);
  slow.reset();
  settle();
  EXPECT_TRUE(streams_->idle());
  EXPECT_EQ(poll(&room, 1, 0), 1);
}

TEST_F(StreamsTest, WhatWasSentBeforeAHangUpIsTaken) {
  make(true);
  Process process = adopt_pipes();
  Fd client = attach({.input = true});
  ASSERT_TRUE(write_all(client.get(), "parting words"));
  client.reset();
  settle();
  bool at_end = false;
  EXPECT_EQ(drain_of(process.input, &at_end), "parting words");
  EXPECT_TRUE(at_end);
  EXPECT_TRUE(streams_->idle());
  EXPECT_GT(changes_, 0);
}

TEST_F(StreamsTest, DetachKeysEndTheAttachmentAlone) {
  make(true);
  Process process = adopt_terminal();
  Fd client = attach({.input = true, .output = true, .detach_keys = "\x10\x11"});
  ASSERT_TRUE(write_all(client.get(),
                        "ab\x10\x11"
                        "never"));
  settle();
  EXPECT_EQ(drain_of(process.input), "ab");
  EXPECT_TRUE(ended(client));
  EXPECT_TRUE(streams_->idle());
  ASSERT_TRUE(write_all(process.output.get(), "still running"));
  settle();
  Fd next = attach({.input = true, .output = true});
  ASSERT_TRUE(write_all(next.get(), "back"));
  settle();
  EXPECT_EQ(drain_of(process.input), "back");
}

TEST_F(StreamsTest, DetachKeysMaySplitAndFalseStartsReachTheProcess) {
  make();
  Process process = adopt_terminal();
  Fd client = attach({.input = true, .output = true, .detach_keys = "\x10\x11"});
  struct Step {
    std::string_view typed, arrives;
  };
  for (const Step& step : {Step{"a\x10", "a"},
                           Step{"b",
                                "\x10"
                                "b"},
                           Step{"\x10\x10", "\x10"},
                           Step{"c",
                                "\x10"
                                "c"},
                           Step{"\x11", "\x11"}, Step{"\x10", ""}}) {
    ASSERT_TRUE(write_all(client.get(), step.typed));
    settle();
    EXPECT_EQ(drain_of(process.input), step.arrives);
  }
  EXPECT_FALSE(streams_->idle());
  ASSERT_TRUE(write_all(client.get(), "\x11"));
  settle();
  EXPECT_EQ(drain_of(process.input), "");
  EXPECT_TRUE(streams_->idle());
}

TEST_F(StreamsTest, DetachKeysThatWereSentAheadDetachAtOnce) {
  make();
  Fd client = attach({.input = true, .detach_keys = "q", .initial_input = "xq"});
  EXPECT_TRUE(streams_->idle());
  EXPECT_TRUE(ended(client));
}

TEST_F(StreamsTest, OutputThatAnEndedProcessLeftIsDelivered) {
  make();
  Process process = adopt_pipes();
  Fd client = attach({.output = true, .errors = true, .framed = true});
  ASSERT_TRUE(write_all(process.output.get(), "the end"));
  ASSERT_TRUE(write_all(process.errors.get(), "oops"));
  process = {};
  streams_->drain();
  EXPECT_FALSE(streams_->idle()) << "clients stay until the exit is known";
  streams_->release_clients();
  settle();
  bool at_end = false;
  EXPECT_EQ(drain_of(client, &at_end), frame(Stream::output, "the end") + frame(Stream::errors, "oops"));
  EXPECT_TRUE(at_end);
  EXPECT_TRUE(streams_->idle());
}

TEST_F(StreamsTest, AReleasedClientThatReadsLateGetsEverythingFirst) {
  make();
  Process process = adopt_pipes();
  Fd client = attach({.output = true});
  std::string written;
  fcntl(process.output.get(), F_SETFL, O_NONBLOCK);
  while (written.size() < 900'000) {
    const std::string piece = std::to_string(written.size()) + std::string(1000, '-');
    ssize_t put = write(process.output.get(), piece.data(), piece.size());
    if (put > 0) written.append(piece, 0, static_cast<std::size_t>(put));
    step();
  }
  process = {};
  streams_->drain();
  streams_->release_clients();
  EXPECT_FALSE(streams_->idle());
  std::string read;
  bool at_end = false;
  for (int i = 0; i < 100 && !at_end; ++i) {
    read += drain_of(client, &at_end);
    settle();
  }
  EXPECT_TRUE(read == written);
  EXPECT_TRUE(streams_->idle());
}

TEST_F(StreamsTest, DrainDoesNotWaitForOthersThatHoldThePipe) {
  make();
  Process process = adopt_pipes();
  Fd client = attach({.output = true});
  ASSERT_TRUE(write_all(process.output.get(), "x"));
  streams_->drain();  // process.output is still open
  streams_->release_clients();
  settle();
  EXPECT_EQ(drain_of(client), "x");
  EXPECT_TRUE(streams_->idle());
}

TEST_F(StreamsTest, WhoAttachesAfterTheEndIsLetGo) {
  make();
  Process process = adopt_pipes();
  process = {};
  streams_->drain();
  streams_->release_clients();
  Fd late = attach({.input = true, .output = true, .initial_input = "hello?"});
  EXPECT_TRUE(streams_->idle());
  EXPECT_TRUE(ended(late));
}

TEST_F(StreamsTest, ARestartedProcessKeepsTheClientsThatCame) {
  make();
  Process process = adopt_pipes();
  process = {};
  streams_->drain();
  Fd client = attach({.output = true});
  process = adopt_pipes();
  ASSERT_TRUE(write_all(process.output.get(), "second life"));
  settle();
  EXPECT_EQ(drain_of(client), "second life");
}

TEST_F(StreamsTest, AProcessThatClosedItsInputTakesNoHarm) {
  make();
  Process process = adopt_pipes();
  process.input.reset();
  Fd client = attach({.input = true, .output = true});
  ASSERT_TRUE(write_all(client.get(), "into the void"));
  settle();
  ASSERT_TRUE(write_all(client.get(), "again"));
  settle();
  ASSERT_TRUE(write_all(process.output.get(), "fine"));
  settle();
  EXPECT_EQ(drain_of(client), "fine");
}

TEST_F(StreamsTest, EverythingGoesToTheLogWithOrWithoutClients) {
  TemporaryDirectory directory = TemporaryDirectory::create("streams").value();
  LogWriter log = LogWriter::open({directory.path() + "/log", 0, 1}).value();
  make(false, &log);
  Process process = adopt_pipes();
  ASSERT_TRUE(write_all(process.output.get(), "alone\nunended"));
  settle();
  ASSERT_TRUE(write_all(process.errors.get(), "e\n"));
  process = {};
  streams_->drain();
  const std::string text = read_file(directory.path() + "/log").value();
  for (const char* part : {R"("log":"alone\n","stream":"stdout")", R"("log":"unended","stream":"stdout")",
                           R"("log":"e\n","stream":"stderr")"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
}

TEST_F(StreamsTest, ATerminalIsResizedAndAPipeIsNot) {
  make();
  Process process = adopt_pipes();
  EXPECT_FALSE(streams_->resize(10, 20));
  streams_.reset();
  make();
  process = adopt_terminal();
  ASSERT_TRUE(streams_->resize(10, 20));
  winsize size{};
  ASSERT_EQ(ioctl(process.input.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_row, 10);
  EXPECT_EQ(size.ws_col, 20);
}

}  // namespace
}  // namespace berth::keeper
