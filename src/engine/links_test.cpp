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
  const std::string text = "127.0.0.1\tlocalhost\n172.17.0.2\tstore db\n# mine\n172.17.0.3\tme";
  EXPECT_EQ(with_hosts_entry(text, {"store db", "172.17.0.9"}),
            "127.0.0.1\tlocalhost\n# mine\n172.17.0.3\tme\n172.17.0.9\tstore db\n");
  EXPECT_EQ(with_hosts_entry(text, {"store db", std::nullopt}),
            "127.0.0.1\tlocalhost\n# mine\n172.17.0.3\tme\n");
  EXPECT_EQ(with_hosts_entry("", {"a", "1.2.3.4"}), "1.2.3.4\ta\n");
}

}  // namespace
}  // namespace berth::engine
