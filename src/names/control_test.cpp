// SPDX-License-Identifier: Apache-2.0
// The control socket and the resolver's life, in a thread and as a program.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fstream>
#include <future>

#include "base/process.h"
#include "base/unix_address.h"
#include "names/control_server.h"
#include "names/test_host.h"
#include "names/unix_socket.h"

namespace berth::names {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Of a process that is nobody's: 0 when it was hung up on.
int code_of_stranger_at(const std::string& socket_path) {
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(2);
    Result<Fd> socket = connect_to(socket_path, 20s);
    if (!socket) _exit(3);
    _exit(hung_up(socket->get()) ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return exit_code_of(status);
}

TEST(Control, IsForItsOwnerAlone) {
  on_own_host([] {
    Host host;
    struct stat info;
    ASSERT_EQ(stat(host.settings.socket_path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    // Even with the mode out of the way.
    ASSERT_EQ(chmod(host.settings.socket_path.c_str(), 0666), 0);
    ASSERT_EQ(chmod(host.directory.path().c_str(), 0755), 0);
    EXPECT_EQ(code_of_stranger_at(host.settings.socket_path), 0);
  });
}

void send_with_descriptors(int socket, std::string_view bytes, int count) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 200)] = {};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const std::size_t size = sizeof(int) * static_cast<std::size_t>(count);
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(size);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(size);
  const std::vector<int> numbers(static_cast<std::size_t>(count), 2);
  std::memcpy(CMSG_DATA(rights), numbers.data(), size);
  ASSERT_EQ(sendmsg(socket, &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

std::size_t open_descriptors() { return must(list_directory("/proc/self/fd")).size(); }

TEST(Control, HangsUpOnWhoeverBreaksTheProtocol) {
  on_own_host([] {
    Host host;
    host.add_sandbox();
    const std::size_t before = open_descriptors();
    const auto connected = [&] { return must(connect_to(host.settings.socket_path, 20s)); };
    {
      const Fd socket = connected();
      must(write_all(socket.get(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      EXPECT_TRUE(hung_up(socket.get()));
    }
    {
      const Fd socket = connected();
      std::string frame = encode_frame(MessageKind::ping, "");
      frame[7] = 0x7F;  // two gigabytes
      must(write_all(socket.get(), frame));
      EXPECT_TRUE(hung_up(socket.get()));
    }
    for (int count : {3, 200}) {
      const Fd socket = connected();
      send_with_descriptors(socket.get(), encode_frame(MessageKind::ping, "", 2), count);
      EXPECT_TRUE(hung_up(socket.get()));
    }
    {
      const Fd socket = connected();
      must(write_all(socket.get(), encode_frame(MessageKind::add_sandbox, "", 2)));  // and there are none
      EXPECT_TRUE(hung_up(socket.get()));
    }
    {
      const Fd socket = connected();  // descriptors that nobody asks for, again and again
      send_with_descriptors(socket.get(), encode_frame(MessageKind::ping, ""), 2);
      send_with_descriptors(socket.get(), encode_frame(MessageKind::ping, ""), 2);
      char byte;
      while (readable(socket.get(), kPatience) && recv(socket.get(), &byte, 1, 0) == 1) {
      }
    }
    EXPECT_TRUE(eventually([&] { return open_descriptors() == before; })) << "descriptors were kept";
    must(host.client->ping());
    EXPECT_THAT(ask(host, "web").addresses, ElementsAre("10.0.0.2"));
  });
}

TEST(Control, AnswersWhatItCannotDoAndGoesOn) {
  on_own_host([] {
    Host host;
    const auto reply = [&](MessageKind kind, std::string_view body) {
      const Fd socket = must(connect_to(host.settings.socket_path, 20s));
      must(write_all(socket.get(), encode_frame(kind, body)));
      FrameReader reader;
      for (;;) {
        if (auto frame = must(reader.next())) return must(decode_error(frame->body)).kind;
        if (!must(reader.receive(socket.get(), 0))) throw std::runtime_error("hung up");
      }
    };
    EXPECT_EQ(reply(static_cast<MessageKind>(99), ""), ErrorKind::unsupported);
    EXPECT_EQ(reply(MessageKind::set_network, "garbage"), ErrorKind::invalid);
    EXPECT_EQ(reply(MessageKind::add_sandbox, "\x01\xFF\xFF\xFF\xFFx"), ErrorKind::invalid);
    // Sockets of another kind.
    SandboxSockets wrong;
    wrong.udp = must(open_file("/dev/null", O_RDWR));
    wrong.tcp = must(open_file("/dev/null", O_RDWR));
    EXPECT_FALSE(host.client->add_sandbox("s1", host.view, &wrong));
    SandboxSockets swapped = must(open_sandbox_sockets());
    std::swap(swapped.udp, swapped.tcp);
    EXPECT_EQ(host.client->add_sandbox("s1", host.view, &swapped).error().kind, ErrorKind::invalid);
    EXPECT_THAT(must(host.client->list()).sandboxes, IsEmpty()) << "a refused sandbox left something";
    host.add_sandbox();
    EXPECT_THAT(ask(host, "web").addresses, SizeIs(1));
  });
}

TEST(Control, HasOneResolverASocket) {
  on_own_host([] {
    Host host;
    Result<std::unique_ptr<Resolver>> second = Resolver::open(host.settings);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::conflict);
    must(host.client->ping());
  });
}

TEST(Control, PausesWhileThereAreNoDescriptors) {
  const TemporaryDirectory directory = must(TemporaryDirectory::create("names"));
  EventLoop loop = must(EventLoop::create());
  const auto server = must(
      ControlServer::open(directory.path() + "/socket", loop, [](Frame) { return ControlServer::Reply(); }));
  const Fd client = must(connect_to(directory.path() + "/socket", 20s));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  bool quiet = false;
  loop.after(300ms, [&] { quiet = true; });
  int turns = 0;
  for (; !quiet && turns < 1000; ++turns) must(loop.run_once());
  const std::size_t taken = server->connections();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(taken, 0u);
  EXPECT_LT(turns, 100);
  while (server->connections() == 0 && turns++ < 1000) must(loop.run_once());
  EXPECT_EQ(server->connections(), 1u);
}

// What a resolver that was stopped (SIGSTOP) looks like once its queue is full.
TEST(Control, OfAResolverThatTakesNoConnectionIsGivenUp) {
  const TemporaryDirectory directory = must(TemporaryDirectory::create("names"));
  const std::string path = directory.path() + "/socket";
  Fd listening = must(listen_at(path));
  const UnixAddress where = must(make_unix_address(path));
  std::vector<Fd> waiting;
  for (int done = 0; done == 0;) {
    waiting.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    done = connect(waiting.back().get(), where.get(), where.size);
    ASSERT_TRUE(done == 0 || errno == EAGAIN);
  }
  auto connecting = std::async(std::launch::async, [&] { return Client::connect(path, 100ms); });
  const bool over = connecting.wait_for(20s) == std::future_status::ready;
  listening.reset();  // lets one go that would wait for ever
  EXPECT_TRUE(over);
  const auto client = connecting.get();
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().kind, ErrorKind::timeout);
}

// --- its life ---

TEST(Resolver, EndsByItselfWhenNobodyNeedsIt) {
  on_own_host([] {
    Host host([](ResolverSettings& settings) { settings.unused = 1s; });
    host.add_sandbox();
    host.client.reset();
    std::this_thread::sleep_for(1500ms);  // a container does
    host.client = must(Client::connect(host.settings.socket_path, 20s));
    must(host.client->remove_sandbox("s1"));
    std::this_thread::sleep_for(1500ms);  // the engine does
    must(host.client->ping());
    host.client.reset();
    host.thread.join();
    EXPECT_FALSE(exists(host.settings.socket_path));
  });
}

// --- the program ---

class Program : public testing::Test {
 protected:
  Launch launch() const {
    return {.program = std::string(BERTH_BINARY_DIR) + "/bin/berth-resolver",
            .socket_path = directory.path() + "/resolver.sock",
            .resolv_conf = "/nonexistent",
            .timeout = 20s};
  }
  static pid_t pid_of(const std::string& socket_path) {
    const Fd socket = must(connect_to(socket_path, 20s));
    ucred peer{};
    socklen_t size = sizeof peer;
    getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid;
  }
  static Answer ask_at(std::uint16_t port, std::string_view name) {
    Fd asking(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const SocketAddress where = at(kListeningAddress, port);
    if (connect(asking.get(), where.get(), where.size) != 0) throw std::runtime_error("cannot connect");
    send_datagram(asking.get(), make_query(name));
    return read_answer(receive(asking.get()).value());
  }
  TemporaryDirectory directory = must(TemporaryDirectory::create("names"));
};

TEST_F(Program, IsStartedOnceAndAgainWhenItWasKilled) {
  if (!exists(launch().program)) GTEST_SKIP() << "SKIP: berth-resolver is not built";
  on_own_host([&] {
    auto client = must(Client::connect_or_start(launch()));
    const pid_t first = pid_of(launch().socket_path);
    auto again = must(Client::connect_or_start(launch()));
    EXPECT_EQ(pid_of(launch().socket_path), first);

    const auto tell_and_ask = [&] {
      must(client->set_network({"n1", "backend", {{"c1", {"web"}, {*Address::parse("10.0.0.2")}}}}));
      const SandboxSockets sockets = must(open_sandbox_sockets());
      must(client->add_sandbox("s1", {.networks = {"n1"}}, &sockets));
      EXPECT_THAT(ask_at(sockets.udp_port, "web").addresses, ElementsAre("10.0.0.2"));
    };
    tell_and_ask();
    ASSERT_EQ(kill(first, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return !client->ping(); }));

    client = must(Client::connect_or_start(launch()));
    EXPECT_NE(pid_of(launch().socket_path), first);
    EXPECT_THAT(must(client->list()).sandboxes, IsEmpty());
    tell_and_ask();

    must(client->stop());
    EXPECT_TRUE(eventually([&] { return !connect_to(launch().socket_path, 20s); }));
    EXPECT_EQ(client->ping().error().kind, ErrorKind::unavailable);
  });
}

// It reads what containers and the network send. The host's resolv.conf is read as that user, too.
TEST_F(Program, GivesUpWhatRootMayDoAndWorks) {
  if (!exists(launch().program)) GTEST_SKIP() << "SKIP: berth-resolver is not built";
  on_own_host([&] {
    Upstream upstream("127.0.0.2", 53, says("192.0.2.1"));
    Launch how = launch();
    how.resolv_conf = directory.path() + "/resolv.conf";
    std::ofstream(how.resolv_conf) << "nameserver 127.0.0.2\n";
    ASSERT_EQ(chmod(directory.path().c_str(), 0755), 0);
    const gid_t group = 12;
    ASSERT_EQ(syscall(SYS_setgroups, 1, &group), 0);  // of this thread alone
    auto client = must(Client::connect_or_start(how));
    const std::string status = must(read_file(fmt::format("/proc/{}/status", pid_of(how.socket_path))));
    EXPECT_THAT(status, HasSubstr("\nUid:\t65534\t65534\t65534\t65534\n"));
    EXPECT_THAT(status, HasSubstr("\nGid:\t65534\t65534\t65534\t65534\n"));
    EXPECT_THAT(status, ContainsRegex("\nGroups:[ \t]*\n"));
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"})
      EXPECT_THAT(status, HasSubstr(fmt::format("{}:\t0000000000000000", set)));
    EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));

    const SandboxSockets sockets = must(open_sandbox_sockets());
    must(client->add_sandbox("s1", {.networks = {}}, &sockets));
    EXPECT_THAT(ask_at(sockets.udp_port, "www.example.org").addresses, ElementsAre("192.0.2.1"));

    // Whoever else is that user commands nothing, even with the mode out of the way.
    ASSERT_EQ(chmod(how.socket_path.c_str(), 0666), 0);
    EXPECT_EQ(code_of_stranger_at(how.socket_path), 0);
    must(client->ping());
    must(client->stop());
  });
}

TEST_F(Program, StopsOnASignal) {
  if (!exists(launch().program)) GTEST_SKIP() << "SKIP: berth-resolver is not built";
  auto client = must(Client::connect_or_start(launch()));
  ASSERT_EQ(kill(pid_of(launch().socket_path), SIGTERM), 0);
  EXPECT_TRUE(eventually([&] { return !client->ping(); }));
}

TEST_F(Program, SaysHowItIsUsed) {
  if (!exists(launch().program)) GTEST_SKIP() << "SKIP: berth-resolver is not built";
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{}, {"--socket"}, {"--socket", "relative"}, {"--what", "x"}}) {
    std::vector<std::string> words{launch().program};
    words.insert(words.end(), flags.begin(), flags.end());
    const Output output = must(run_program(words));
    EXPECT_EQ(output.exit_code, 1);
    EXPECT_THAT(output.standard_error, HasSubstr("usage: berth-resolver"));
  }
}

}  // namespace
}  // namespace berth::names
