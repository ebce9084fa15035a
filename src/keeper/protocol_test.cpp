// SPDX-License-Identifier: Apache-2.0
#include "keeper/protocol.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "keeper/settings.h"
#include "keeper/state.h"

namespace berth::keeper {
namespace {

using testing::HasSubstr;

class MessageTest : public testing::Test {
 protected:
  // Everything that has arrived by now.
  std::vector<Message> receive_all() {
    std::vector<Message> messages;
    for (bool more = true; more;) {
      char byte;
      more = recv(pair_.second.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
      if (more) more = reader_.receive(pair_.second.get(), MSG_DONTWAIT).value();
      while (std::optional<Message> message = reader_.next().value()) messages.push_back(std::move(*message));
    }
    return messages;
  }
  int sender() const { return pair_.first.get(); }

  std::pair<Fd, Fd> pair_ = make_socket_pair(SOCK_STREAM).value();
  MessageReader reader_;
};

TEST_F(MessageTest, CarriesKindNumberAndBody) {
  ASSERT_TRUE(send_message(sender(), MessageKind::exec, 0x1122334455667788u, R"({"id":"x"})"));
  std::vector<Message> messages = receive_all();
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].kind, MessageKind::exec);
  EXPECT_EQ(messages[0].request, 0x1122334455667788u);
  EXPECT_EQ(messages[0].body, R"({"id":"x"})");
  EXPECT_TRUE(messages[0].descriptors.empty());
}

TEST_F(MessageTest, OneIsReceivedWithoutAByteOfTheNext) {
  Pipe pipe = make_pipe().value();
  const int number = pipe.read.get();
  ASSERT_TRUE(send_message(sender(), MessageKind::serve, 0, R"({"runDirectory":"/x"})", {&number, 1}));
  ASSERT_TRUE(send_message(sender(), MessageKind::start, 7, "{}"));
  std::optional<Message> first = receive_message(pair_.second.get()).value();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->kind, MessageKind::serve);
  EXPECT_EQ(first->body, R"({"runDirectory":"/x"})");
  EXPECT_EQ(first->descriptors.size(), 1u);
  std::vector<Message> rest = receive_all();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].request, 7u);
}

TEST_F(MessageTest, NoneIsReceivedFromAPeerThatHasGone) {
  pair_.first.reset();
  std::optional<Message> none = receive_message(pair_.second.get()).value();
  EXPECT_FALSE(none);
}

TEST_F(MessageTest, SeveralAtOnceComeOutInOrder) {
  for (int i = 1; i <= 20; ++i)
    ASSERT_TRUE(
        send_message(sender(), MessageKind::state, static_cast<std::uint64_t>(i), std::string(i * 7u, 'a')));
  std::vector<Message> messages = receive_all();
  ASSERT_EQ(messages.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(messages[i].request, i + 1);
    EXPECT_EQ(messages[i].body.size(), (i + 1) * 7);
  }
}

TEST_F(MessageTest, APieceIsNoMessageYet) {
  std::pair<Fd, Fd> recorded = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(recorded.first.get(), MessageKind::ping, 9, "{\"a\":1}"));
  char bytes[256];
  const ssize_t size = recv(recorded.second.get(), bytes, sizeof bytes, 0);
  ASSERT_GT(size, 8);
  for (ssize_t i = 0; i < size; ++i) {
    EXPECT_FALSE(reader_.next().value()) << "after " << i << " of " << size << " bytes";
    ASSERT_TRUE(write_all(sender(), {bytes + i, 1}));
    ASSERT_TRUE(reader_.receive(pair_.second.get(), 0).value());
  }
  std::optional<Message> message = reader_.next().value();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->body, "{\"a\":1}");
  EXPECT_FALSE(reader_.next().value());
}

TEST_F(MessageTest, ALargeBodyArrivesWhole) {
  std::string body(3u << 20, 'b');
  body[12345] = '\0';
  std::jthread writer([&] { EXPECT_TRUE(send_message(sender(), MessageKind::exec, 1, body)); });
  for (;;) {
    ASSERT_TRUE(reader_.receive(pair_.second.get(), 0).value());
    std::optional<Message> message = reader_.next().value();
    if (!message) continue;
    EXPECT_TRUE(message->body == body);
    break;
  }
}

TEST_F(MessageTest, DescriptorsStayWithTheirMessage) {
  Pipe one = make_pipe().value(), two = make_pipe().value(), three = make_pipe().value();
  const int first[] = {one.write.get()}, second[] = {two.write.get(), three.write.get()};
  ASSERT_TRUE(send_message(sender(), MessageKind::attach, 1, "{}", first));
  ASSERT_TRUE(send_message(sender(), MessageKind::ping, 2, "{}"));
  ASSERT_TRUE(send_message(sender(), MessageKind::exec, 3, "{}", second));
  std::vector<Message> messages = receive_all();
  ASSERT_EQ(messages.size(), 3u);
  ASSERT_EQ(messages[0].descriptors.size(), 1u);
  EXPECT_TRUE(messages[1].descriptors.empty());
  ASSERT_EQ(messages[2].descriptors.size(), 2u);
  auto leads_to = [](const Fd& sent, const Fd& reading_end) {
    char byte = 0;
    return write(sent.get(), "x", 1) == 1 && read(reading_end.get(), &byte, 1) == 1 && byte == 'x';
  };
  EXPECT_TRUE(leads_to(messages[0].descriptors[0], one.read));
  EXPECT_TRUE(leads_to(messages[2].descriptors[0], two.read));
  EXPECT_TRUE(leads_to(messages[2].descriptors[1], three.read));
  EXPECT_TRUE(fcntl(messages[0].descriptors[0].get(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(MessageTest, DescriptorsThatNobodyTookAreClosed) {
  Pipe pipe = make_pipe().value();
  {
    const int sent[] = {pipe.write.get()};
    ASSERT_TRUE(send_message(sender(), MessageKind::attach, 1, "{}", sent));
    MessageReader gone;
    ASSERT_TRUE(gone.receive(pair_.second.get(), 0).value());
  }
  pipe.write.reset();
  char byte;
  EXPECT_EQ(read(pipe.read.get(), &byte, 1), 0);
}

TEST_F(MessageTest, TooLongABodyIsRefusedBeforeItIsCollected) {
  const std::uint32_t header[4] = {static_cast<std::uint32_t>(kMaximumBody + 1), 1, 0, 0};
  ASSERT_TRUE(write_all(sender(), {reinterpret_cast<const char*>(header), sizeof header}));
  ASSERT_TRUE(reader_.receive(pair_.second.get(), 0).value());
  Result<std::optional<Message>> message = reader_.next();
  ASSERT_FALSE(message);
  EXPECT_THAT(message.error().message, HasSubstr("too long"));
}

TEST_F(MessageTest, AMessageThatLacksItsDescriptorsIsRefused) {
  const std::uint32_t header[4] = {0, 2 | 1u << 16, 0, 0};
  ASSERT_TRUE(write_all(sender(), {reinterpret_cast<const char*>(header), sizeof header}));
  ASSERT_TRUE(reader_.receive(pair_.second.get(), 0).value());
  EXPECT_FALSE(reader_.next());
}

TEST_F(MessageTest, ThePeersEndIsTold) {
  EXPECT_TRUE(reader_.receive(pair_.second.get(), MSG_DONTWAIT).value()) << "nothing there is not the end";
  pair_.first.reset();
  EXPECT_FALSE(reader_.receive(pair_.second.get(), MSG_DONTWAIT).value());
  EXPECT_FALSE(send_message(pair_.second.get(), MessageKind::ping, 1, "{}"));
}

TEST_F(MessageTest, AFullSocketIsAnErrorWhenTheCallerDoesNotWait) {
  Result<void> sent;
  for (int i = 0; i < 10000 && sent; ++i)
    sent = send_message(sender(), MessageKind::state, 0, std::string(4096, 's'), {}, MSG_DONTWAIT);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EAGAIN);
}

TEST(Codec, AttachKeepsBytesThatAreNoText) {
  Attach attach{.exec_id = "e",
                .input = true,
                .output = true,
                .errors = true,
                .framed = true,
                .detach_keys = std::string("\x10\x00\x11", 3),
                .initial_input = std::string("\xff\x00\xfe\n", 4)};
  Attach back = decode_attach(encode(attach)).value();
  EXPECT_EQ(back.exec_id, "e");
  EXPECT_TRUE(back.input && back.output && back.errors && back.framed);
  EXPECT_EQ(back.detach_keys, attach.detach_keys);
  EXPECT_EQ(back.initial_input, attach.initial_input);
  Attach nothing = decode_attach("{}").value();
  EXPECT_FALSE(nothing.input || nothing.output || nothing.errors || nothing.framed);
}

TEST(Codec, ResizeSignalRestartAndExitComeBack) {
  Resize resize = decode_resize(encode(Resize{"e", 65535, 7})).value();
  EXPECT_EQ(resize.exec_id, "e");
  EXPECT_EQ(resize.rows, 65535);
  EXPECT_EQ(resize.columns, 7);
  EXPECT_EQ(decode_resize(R"({"rows":70000,"columns":1})").value().rows, 65535) << "does not wrap";
  Signal signal = decode_signal(encode(Signal{15, true})).value();
  EXPECT_EQ(signal.number, 15);
  EXPECT_TRUE(signal.stop_intended);
  RestartPolicy policy{RestartCondition::on_failure, 3};
  EXPECT_EQ(decode_restart_policy(encode(policy)).value(), policy);
  EXPECT_FALSE(decode_restart_policy(R"({"condition":"sometimes"})"));
  ExecExited exited = decode_exec_exited(encode(ExecExited{"e", 137})).value();
  EXPECT_EQ(exited.id, "e");
  EXPECT_EQ(exited.exit_code, 137);
}

TEST(Codec, ExecComesBackWithAndWithoutAClient) {
  Exec exec{.id = "e", .process = R"({"args":["sh"]})", .open_stdin = true, .attach = std::nullopt};
  Exec back = decode_exec(encode(exec)).value();
  EXPECT_EQ(back.process, exec.process);
  EXPECT_TRUE(back.open_stdin);
  EXPECT_FALSE(back.attach);
  exec.attach = Attach{.exec_id = "e", .output = true};
  back = decode_exec(encode(exec)).value();
  ASSERT_TRUE(back.attach);
  EXPECT_TRUE(back.attach->output);
}

TEST(Codec, AReplysErrorKeepsItsKind) {
  Reply reply = decode_reply(encode(Reply{42, std::nullopt})).value();
  EXPECT_EQ(reply.pid, 42);
  EXPECT_FALSE(reply.error);
  reply = decode_reply(encode(Reply{0, Error{ErrorKind::not_found, 2, "no \"sh\"\n"}})).value();
  ASSERT_TRUE(reply.error);
  EXPECT_EQ(reply.error->kind, ErrorKind::not_found);
  EXPECT_EQ(reply.error->code, 2);
  EXPECT_EQ(reply.error->message, "no \"sh\"\n");
  // A newer keeper's kind.
  EXPECT_EQ(decode_reply(R"({"error":{"kind":999,"message":"m"}})").value().error->kind, ErrorKind::system);
}

TEST(Codec, MembersThatNobodyKnowsAreIgnoredAndWrongTypesAreNamed) {
  EXPECT_TRUE(decode_signal(R"({"number":9,"colour":{"a":[1]}})"));
  Result<Signal> wrong = decode_signal(R"({"number":"nine"})");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("message.number"));
  EXPECT_FALSE(decode_signal("{"));
  EXPECT_FALSE(decode_signal("[]"));
}

TEST(Codec, SettingsComeBack) {
  Settings settings{.id = "c",
                    .terminal = true,
                    .open_stdin = true,
                    .stdin_once = true,
                    .overlay = OverlaySettings{{"/l2", "/l1"}, "/u", "/w", true},
                    .log = {"/log", 1000, 3},
                    .restart = {RestartCondition::unless_stopped, 0},
                    .restart_count = 4};
  Settings back = decode_settings(encode(settings)).value();
  EXPECT_EQ(encode(back), encode(settings));
  ASSERT_TRUE(back.overlay);
  EXPECT_EQ(back.overlay->lower, settings.overlay->lower);
  EXPECT_TRUE(back.overlay->is_volatile);
  EXPECT_EQ(back.log.maximum_size, 1000);
  EXPECT_EQ(back.log.maximum_files, 3);
  EXPECT_EQ(back.restart, settings.restart);
  EXPECT_EQ(back.restart_count, 4);
}

TEST(Codec, SettingsOfANewerEngineAreUnderstood) {
  Settings settings =
      decode_settings(R"({"id":"c","seal":true,"log":{"path":"/l","driver":"x"},"overlay":{"lower":["/a"],
                                          "new":1}})")
          .value();
  EXPECT_EQ(settings.id, "c");
  EXPECT_EQ(settings.log.path, "/l");
  EXPECT_EQ(settings.log.maximum_files, 5) << "what is not said keeps its default";
  EXPECT_FALSE(decode_settings(R"({"restart":{"condition":"sometimes"}})"));
}

TEST(Codec, StateComesBack) {
  State state{.phase = Phase::restarting,
              .keeper_pid = 10,
              .pid = 11,
              .pid_start_time = 1ull << 63,
              .started_at = {123456789012345678},
              .finished_at = {123456789012345679},
              .exit_code = 137,
              .oom_killed = true,
              .restart_count = 2,
              .error = "no \xc3\xa9 \"x\""};
  State back = decode_state(encode(state)).value();
  EXPECT_EQ(encode(back), encode(state));
  EXPECT_EQ(back.phase, Phase::restarting);
  EXPECT_EQ(back.pid_start_time, state.pid_start_time);
  EXPECT_EQ(back.started_at.nanoseconds, 123456789012345678);
  EXPECT_EQ(back.error, state.error);
  EXPECT_TRUE(decode_state(R"({"phase":"exited","later":1})"));
}

TEST(Codec, AStateThatMakesNoSenseIsCorrupt) {
  for (const char* text : {"", "{}", R"({"phase":"melted"})", R"({"phase":"running")", "null"})
    EXPECT_FALSE(decode_state(text)) << text;
  EXPECT_EQ(decode_state(R"({"phase":"melted"})").error().kind, ErrorKind::corrupt);
}

TEST(ProcessStartTime, TellsProcessesApart) {
  EXPECT_GT(process_start_time(getpid()), 0u);
  EXPECT_EQ(process_start_time(getpid()), process_start_time(getpid()));
  EXPECT_EQ(process_start_time(0x7ffffff0), 0u);
}

}  // namespace
}  // namespace berth::keeper
