// SPDX-License-Identifier: Apache-2.0
// What a container is told, from the records and its view alone.
#include "names/answer.h"

#include <gmock/gmock.h>

#include <set>

#include "names/test_support.h"

namespace berth::names {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

Endpoint endpoint(std::string container, std::vector<std::string> names, std::vector<std::string> addresses) {
  Endpoint made{std::move(container), std::move(names), {}};
  for (const std::string& address : addresses) made.addresses.push_back(*Address::parse(address));
  return made;
}

class Names : public testing::Test {
 protected:
  Names() {
    must(directory.set_network({"n1",
                                "backend",
                                {endpoint("c1", {"Web", "www", "c1short"}, {"10.0.0.2", "fd00::2"}),
                                 endpoint("c2", {"db_1", "database"}, {"10.0.0.3"})}}));
    must(directory.set_network(
        {"n2",
         "front.end",
         {endpoint("c3", {"proxy"}, {"10.1.0.2"}), endpoint("c4", {"Database"}, {"10.1.0.3", "fd01::3"})}}));
  }

  Verdict judge_query(const Message& message, Transport transport = Transport::udp) {
    out.assign(kLargestMessage, 0);
    return judge(directory, view, message, transport, out);
  }
  Answer ask(std::string_view name, const Asked& asked = {}, Transport transport = Transport::udp) {
    const Verdict verdict = judge_query(make_query(name, asked), transport);
    if (verdict.kind != Verdict::Kind::answered) throw std::runtime_error("it was not answered");
    Answer answer = read_answer(Bytes(out).first(verdict.size));
    EXPECT_EQ(answer.header.id, 0x1234);
    EXPECT_TRUE(answer.header.flags & 0x0080);
    return answer;
  }
  Verdict::Kind kind(std::string_view name, std::uint16_t type = record_type::a) {
    return judge_query(make_query(name, {.type = type})).kind;
  }

  Directory directory;
  View view{.networks = {"n1"}};
  Message out;
};

constexpr auto kForward = Verdict::Kind::forward;

TEST_F(Names, AreFoundWhateverTheCaseOfTheirLetters) {
  for (const char* name : {"web", "WEB", "www", "c1short", "Web."}) {
    const Answer answer = ask(name);
    EXPECT_EQ(answer.rcode, 0);
    EXPECT_THAT(answer.addresses, ElementsAre("10.0.0.2")) << name;
    EXPECT_THAT(answer.ttls, ElementsAre(kTimeToLive));
  }
  EXPECT_THAT(ask("web", {.type = record_type::aaaa}).addresses, ElementsAre("fd00::2"));
  EXPECT_THAT(ask("web", {.type = record_type::any}).addresses, ElementsAre("10.0.0.2", "fd00::2"));
}

TEST_F(Names, WithNothingOfTheTypeAreKnownAndEmpty) {
  for (std::uint16_t type : {record_type::aaaa, record_type::txt, record_type::https, record_type::soa}) {
    const Answer answer = ask("database", {.type = type});
    EXPECT_EQ(answer.rcode, 0) << type;
    EXPECT_EQ(answer.header.answers, 0) << type;
  }
}

TEST_F(Names, AreFoundWithTheirNetworksNameBehind) {
  EXPECT_THAT(ask("db_1.BackEnd").addresses, ElementsAre("10.0.0.3"));
  view.networks = {"n1", "n2"};
  EXPECT_THAT(ask("database.backend").addresses, ElementsAre("10.0.0.3"));
  EXPECT_THAT(ask("database.front.end").addresses, ElementsAre("10.1.0.3"));
  EXPECT_EQ(kind("proxy.backend"), kForward);
  EXPECT_EQ(kind("nobody.backend"), kForward);  // a network may be called like a domain of the world
  EXPECT_EQ(kind("databasebackend.example"), kForward);
}

TEST_F(Names, OfOtherNetworksDoNotExist) {
  EXPECT_EQ(ask("proxy").rcode, 3);
  EXPECT_EQ(kind("database.front.end"), kForward);
  view.networks = {"n2", "unknown"};
  EXPECT_EQ(ask("proxy").rcode, 0);
  EXPECT_EQ(ask("web").rcode, 3);
}

TEST_F(Names, AreAnsweredByTheFirstNetworkThatHasAnAddress) {
  view.networks = {"n2", "n1"};
  EXPECT_THAT(ask("database").addresses, ElementsAre("10.1.0.3"));
  view.networks = {"n1", "n2"};
  EXPECT_THAT(ask("database").addresses, ElementsAre("10.0.0.3"));
  EXPECT_THAT(ask("database", {.type = record_type::aaaa}).addresses, ElementsAre("fd01::3"));
}

TEST_F(Names, OfSeveralContainersTakeTurnsInComingFirst) {
  for (int i = 0; i < 5; ++i)
    must(directory.set_endpoint("n1",
                                endpoint("s" + std::to_string(i), {"worker-" + std::to_string(i), "worker"},
                                         {"10.0.1." + std::to_string(i)})));
  std::multiset<std::string> first;
  for (int i = 0; i < 10; ++i) {
    const Answer answer = ask("worker");
    EXPECT_THAT(answer.addresses,
                UnorderedElementsAre("10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4"));
    first.insert(answer.addresses[0]);
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(first.count("10.0.1." + std::to_string(i)), 2u);
  directory.remove_endpoint("n1", "s3");
  EXPECT_THAT(ask("worker").addresses, SizeIs(4));
  EXPECT_EQ(ask("worker-3").rcode, 3);
}

TEST_F(Names, GoWithTheirContainer) {
  directory.remove_endpoint("n1", "c1");
  directory.remove_endpoint("n1", "c1");
  EXPECT_EQ(ask("web").rcode, 3);
  EXPECT_EQ(kind("2.0.0.10.in-addr.arpa", record_type::ptr), kForward);
  must(directory.set_endpoint("n1", endpoint("c1", {"renamed"}, {"10.0.0.9"})));
  EXPECT_THAT(ask("renamed").addresses, ElementsAre("10.0.0.9"));
  must(directory.set_endpoint("n1", endpoint("c1", {"again"}, {"10.0.0.10"})));
  EXPECT_EQ(ask("renamed").rcode, 3);
  EXPECT_EQ(kind("9.0.0.10.in-addr.arpa", record_type::ptr), kForward);
  must(directory.set_network({"n1", "backend", {}}));
  EXPECT_EQ(ask("again").rcode, 3);
  directory.remove_network("n1");
  EXPECT_EQ(ask("again").rcode, 3);
}

TEST_F(Names, OfAnAddressAreItsContainersAndItsNetworks) {
  const auto reverse = [&](const char* address) {
    return ask(reverse_name(*Address::parse(address)), {.type = record_type::ptr});
  };
  EXPECT_THAT(reverse("10.0.0.2").pointers, ElementsAre("web.backend"));
  EXPECT_THAT(reverse("fd00::2").pointers, ElementsAre("web.backend"));
  EXPECT_EQ(kind("2.0.1.10.in-addr.arpa", record_type::ptr), kForward);
  view.networks = {"n2"};
  EXPECT_THAT(reverse("10.1.0.2").pointers, ElementsAre("proxy.front.end"));
  const Answer other = ask("2.0.1.10.in-addr.arpa", {.type = record_type::txt});
  EXPECT_EQ(other.rcode, 0);
  EXPECT_EQ(other.header.answers, 0);
}

TEST_F(Names, ThatNoQueryCanAskForDoNoHarm) {
  must(directory.set_endpoint(
      "n1", endpoint("c9", {"fine", "with blank", "", "a..b", std::string(70, 'x')}, {"10.0.0.9"})));
  EXPECT_THAT(ask("fine").addresses, ElementsAre("10.0.0.9"));
  must(directory.set_endpoint("n1", endpoint("c9", {"a..b", "fine"}, {"10.0.0.9"})));
  EXPECT_EQ(kind("9.0.0.10.in-addr.arpa", record_type::ptr), kForward);
  directory.remove_endpoint("n1", "c9");
  EXPECT_EQ(ask("fine").rcode, 3);
}

TEST_F(Names, OfOneLabelThatNobodyHasDoNotLeaveTheHost) {
  for (std::uint16_t type : {record_type::a, record_type::aaaa, record_type::any, record_type::https}) {
    const Answer answer = ask("nobody", {.type = type});
    EXPECT_EQ(answer.rcode, 3) << type;
    EXPECT_EQ(answer.question.name, "nobody");
  }
  // About a top-level domain itself.
  EXPECT_EQ(kind("org", record_type::soa), kForward);
  EXPECT_EQ(kind("", 2), kForward);
}

TEST_F(Names, OfTheWorldAreForwardedWhereThatIsAllowed) {
  const Verdict verdict = judge_query(make_query("www.Example.org"));
  EXPECT_EQ(verdict.kind, kForward);
  EXPECT_EQ(verdict.query.question.name, "www.example.org");
  view.forward = false;
  EXPECT_EQ(ask("www.example.org").rcode, 3);
  EXPECT_EQ(ask("2.0.1.10.in-addr.arpa", {.type = record_type::ptr}).rcode, 3);
  EXPECT_THAT(ask("web").addresses, SizeIs(1));
}

TEST_F(Names, AreCutToWhatTheClientTakesOverUdpAlone) {
  for (int i = 0; i < 300; ++i)
    must(directory.set_endpoint(
        "n1", endpoint(fmt::format("s{}", i), {"many"}, {fmt::format("10.9.{}.{}", i / 250, i % 250)})));
  const Answer small = ask("many");
  EXPECT_TRUE(small.header.truncated());
  EXPECT_LE(small.size, 512u);
  EXPECT_THAT(small.addresses, SizeIs(testing::Gt(25u)));  // older clients use what there is
  const Answer large = ask("many", {.edns_size = 65'535});
  EXPECT_TRUE(large.header.truncated());
  EXPECT_LE(large.size, 4096u);
  const Answer whole = ask("many", {}, Transport::tcp);
  EXPECT_FALSE(whole.header.truncated());
  EXPECT_THAT(whole.addresses, SizeIs(300));
}

TEST_F(Names, OfAnotherClassAreRefused) { EXPECT_EQ(ask("web", {.of_class = 3}).rcode, 5); }

TEST_F(Names, AskedForWithALaterEdnsAreNot) {
  EXPECT_EQ(ask("web", {.edns_size = 1232, .edns_version = 1}).rcode, 16);
}

TEST_F(Names, AreAnsweredWithEdnsWhenAskedWithIt) {
  EXPECT_TRUE(ask("web", {.edns_size = 1232}).edns);
  EXPECT_FALSE(ask("web").edns);
}

TEST_F(Names, HaveBounds) {
  Endpoint large = endpoint("c9", {}, {});
  large.names.resize(kMostNames + 1, "x");
  EXPECT_EQ(directory.set_endpoint("n1", large).error().kind, ErrorKind::exhausted);
  EXPECT_EQ(directory.set_endpoint("none", endpoint("c9", {"x"}, {})).error().kind, ErrorKind::not_found);
  EXPECT_EQ(directory.set_endpoint("n1", endpoint("../c", {"x"}, {})).error().kind, ErrorKind::invalid);
  EXPECT_EQ(directory.set_view("s1", {.networks = std::vector<std::string>(kMostViewNetworks + 1, "n")})
                .error()
                .kind,
            ErrorKind::exhausted);
  for (std::size_t i = 2; i < kMostNetworks; ++i)
    must(directory.set_network({"x" + std::to_string(i), "x", {}}));
  EXPECT_EQ(directory.set_network({"more", "x", {}}).error().kind, ErrorKind::exhausted);
  must(directory.set_network({"n1", "backend", {}}));  // not one more
}

}  // namespace
}  // namespace berth::names
