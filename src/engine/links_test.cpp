// SPDX-License-Identifier: Apache-2.0
#include "engine/links.h"

#include <gmock/gmock.h>

namespace berth::engine {
namespace {

using testing::ElementsAre;

std::string parsed(std::string_view text) {
  Result<Link> link = parse_link(text);
  return link ? link->container + " as " + link->alias : link.error().message;
}

TEST(Links, AreReadInAllThreeForms) {
  EXPECT_EQ(parsed("db"), "db as db");
  EXPECT_EQ(parsed("db:store"), "db as store");
  EXPECT_EQ(parsed("/db:/web/store"), "db as store");
  EXPECT_EQ(parsed(""), "empty string specified for links");
  EXPECT_EQ(parsed("a:b:c"), "bad format for links: a:b:c");
}

TEST(Links, AreWordsSoThatNothingElseGetsIntoTheHostsFile) {
  for (const char* bad :
       {"db:", ":store", "db:a b", "db:a\n6.6.6.6 bank", "db:a\tb", "db:a/b", "db:a#b", "d b"})
    EXPECT_FALSE(parse_link(bad)) << bad;
}

TEST(Links, GiveTheLinkedContainersPortsAndVariables) {
  EXPECT_THAT(
      link_environment("web", LinkedContainer{.name = "db",
                                              .alias = "my-db",
                                              .hostname = "db",
                                              .address = "172.17.0.2",
                                              .environment = {"A=b=c", "PATH=/bin", "HOME=/", "UNSET"},
                                              .exposed_ports = {"5432/tcp", "53/udp"}}),
      ElementsAre("MY_DB_PORT=tcp://172.17.0.2:5432", "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
                  "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2", "MY_DB_PORT_5432_TCP_PORT=5432",
                  "MY_DB_PORT_5432_TCP_PROTO=tcp", "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
                  "MY_DB_PORT_53_UDP_ADDR=172.17.0.2", "MY_DB_PORT_53_UDP_PORT=53",
                  "MY_DB_PORT_53_UDP_PROTO=udp", "MY_DB_NAME=/web/my-db", "MY_DB_ENV_A=b=c"));
  EXPECT_THAT(link_environment("web", LinkedContainer{.name = "db", .alias = "db"}),
              ElementsAre("DB_NAME=/web/db"));
}

TEST(Links, NameTheEndsOfARangeOfPorts) {
  std::vector<std::string> ends;
  for (const std::string& variable :
       link_environment("web", LinkedContainer{.alias = "db",
                               .address = "1.2.3.4",
                               .exposed_ports = {"9/tcp", "10/tcp", "11/tcp", "12/udp", "20/tcp"}}))
    if (variable.find("START") != std::string::npos || variable.find("END") != std::string::npos)
      ends.push_back(variable);
  EXPECT_THAT(ends, ElementsAre("DB_PORT_9_TCP_START=tcp://1.2.3.4:9", "DB_PORT_9_TCP_PORT_START=9",
                                "DB_PORT_9_TCP_END=tcp://1.2.3.4:11", "DB_PORT_9_TCP_PORT_END=11"));
}

TEST(Links, ChangeTheirLineOfTheHostsFileAlone) {
  const std::string mine = "127.0.0.1\tlocalhost\n172.17.0.2\tstore db\n# mine\n172.17.0.3\tme";
  const std::string linked = with_hosts_entry(mine, {"store", "store db", "172.17.0.9"});
  EXPECT_EQ(linked, mine + "\n172.17.0.9\tstore db\t# link store\n");
  EXPECT_EQ(with_hosts_entry(linked, {"store", "store db2", "172.17.0.10"}),
            mine + "\n172.17.0.10\tstore db2\t# link store\n")
      << "the other has another name now";
  EXPECT_EQ(with_hosts_entry(linked, {"store", "store db", std::nullopt}), mine + "\n");
  EXPECT_EQ(with_hosts_entry(linked, {"re", "re", std::nullopt}), linked);
  EXPECT_EQ(with_hosts_entry("", {"a", "a", "1.2.3.4"}), "1.2.3.4\ta\t# link a\n");
}

TEST(HostsFile, GetsLinesInPlaceOfOthers) {
  EXPECT_EQ(with_lines_replaced("1.1.1.1\tme\n1.1.1.1\tme too\n", "1.1.1.1\tme\n", "2.2.2.2\tme\n"),
            "1.1.1.1\tme too\n2.2.2.2\tme\n");
  EXPECT_EQ(with_lines_replaced("a", "", ""), "a\n");
}

TEST(Links, AreStartedAfterWhatTheyLeadTo) {
  const std::map<std::string, std::vector<std::string>> links{
      {"web", {"app", "log"}}, {"app", {"db"}},    {"db", {}}, {"log", {}},
      {"round", {"trip"}},     {"trip", {"round"}}};
  const std::vector<std::vector<std::string>> rounds = start_rounds(links);
  ASSERT_EQ(rounds.size(), 4u);
  EXPECT_THAT(rounds[0], ElementsAre("db", "log"));
  EXPECT_THAT(rounds[1], ElementsAre("app"));
  EXPECT_THAT(rounds[2], ElementsAre("web"));
  EXPECT_THAT(rounds[3], ElementsAre("round", "trip")) << "nothing is left out";
}

}  // namespace
}  // namespace berth::engine
