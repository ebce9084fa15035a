// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/commands/rows.h"
#include "cli/output/indent.h"
#include "cli/output/list_format.h"
#include "cli/output/natural_order.h"
#include "cli/output/table.h"
#include "cli/output/units.h"

namespace berth::cli {
namespace {

using namespace std::chrono_literals;

TEST(Table, AlignsColumnsToTheirWidestCell) {
  EXPECT_EQ(align_columns("NETWORK ID\tNAME\tDRIVER\n902be9ee1cb0\tbridge\tbridge\n"),
            "NETWORK ID     NAME      DRIVER\n902be9ee1cb0   bridge    bridge\n");
}

TEST(Table, ALineWithFewerCellsEndsTheColumn) {
  EXPECT_EQ(align_columns("a\tb\tc\nlonger than ten\nd\te\tf\n", 4, 1),
            "a   b   c\nlonger than ten\nd   e   f\n");
}

TEST(Table, CountsCharactersNotBytes) {
  EXPECT_EQ(align_columns("äöüäöüäöü\tx\nabc\ty\n"), "äöüäöüäöü   x\nabc         y\n");
}

TEST(Units, DurationsReadAsDockers) {
  EXPECT_EQ(human_duration(400ms), "Less than a second");
  EXPECT_EQ(human_duration(1s), "1 second");
  EXPECT_EQ(human_duration(59s), "59 seconds");
  EXPECT_EQ(human_duration(60s), "About a minute");
  EXPECT_EQ(human_duration(3min), "3 minutes");
  EXPECT_EQ(human_duration(60min), "About an hour");
  EXPECT_EQ(human_duration(25h), "25 hours");
  EXPECT_EQ(human_duration(48h), "2 days");
  EXPECT_EQ(human_duration(24h * 15), "2 weeks");
  EXPECT_EQ(human_duration(24h * 61), "2 months");
  EXPECT_EQ(human_duration(24h * 365 * 3), "3 years");
}

TEST(Units, ShorteningLeavesRoomForTheEllipsis) {
  EXPECT_EQ(shorten("sleep 1000", 20), "sleep 1000");
  EXPECT_EQ(shorten("abcdefghijklmnopqrst", 20), "abcdefghijklmnopqrst");
  EXPECT_EQ(shorten("abcdefghijklmnopqrstu", 20), "abcdefghijklmnopqrs…");
}

TEST(Rows, PortsInARowAreJoined) {
  json::value ports = *parse_json(R"([{"PrivatePort":77,"Type":"tcp"},
    {"IP":"127.0.0.1","PrivatePort":9000,"PublicPort":9000,"Type":"udp"},
    {"IP":"127.0.0.1","PrivatePort":9001,"PublicPort":9001,"Type":"udp"},
    {"IP":"127.0.0.1","PrivatePort":9002,"PublicPort":9002,"Type":"udp"},
    {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8123,"Type":"tcp"},
    {"IP":"::","PrivatePort":80,"PublicPort":8123,"Type":"tcp"}])",
                                  "ports");
  EXPECT_EQ(display_ports(ports),
            "77/tcp, 127.0.0.1:9000-9002->9000-9002/udp, 0.0.0.0:8123->80/tcp, [::]:8123->80/tcp");
}

TEST(Rows, PortsOfTheSameNumbersAreOneRangeAnAddress) {
  json::value ports = *parse_json(R"([{"PrivatePort":70,"Type":"tcp"},{"PrivatePort":71,"Type":"tcp"},
    {"IP":"0.0.0.0","PrivatePort":8000,"PublicPort":8000,"Type":"tcp"},
    {"IP":"::","PrivatePort":8000,"PublicPort":8000,"Type":"tcp"},
    {"IP":"0.0.0.0","PrivatePort":8001,"PublicPort":8001,"Type":"tcp"},
    {"IP":"::","PrivatePort":8001,"PublicPort":8001,"Type":"tcp"}])",
                                  "ports");
  EXPECT_EQ(display_ports(ports),
            "70-71/tcp, 0.0.0.0:8000-8001->8000-8001/tcp, [::]:8000-8001->8000-8001/tcp");
}

TEST(Rows, PublishedPortsAreListedByNumber) {
  json::value ports = *parse_json(R"({"8000/tcp":[{"HostIp":"::","HostPort":"80"},
    {"HostIp":"0.0.0.0","HostPort":"80"}],"443/tcp":null,"53/udp":[{"HostIp":"127.0.0.1","HostPort":"5353"}]})",
                                  "ports");
  EXPECT_EQ(published_ports(ports),
            (std::vector<std::string>{"53/udp -> 127.0.0.1:5353", "8000/tcp -> 0.0.0.0:80",
                                      "8000/tcp -> [::]:80"}));
  EXPECT_EQ(published_addresses(ports.at("8000/tcp")), (std::vector<std::string>{"0.0.0.0:80", "[::]:80"}));
  EXPECT_TRUE(published_addresses(ports.at("443/tcp")).empty());
  EXPECT_TRUE(published_ports(json::value()).empty());
}

TEST(Rows, ANetworkHasDockersFields) {
  json::value network = *parse_json(R"({"Name":"n","Id":"429b5238148f4ed468b3b9c1","Driver":"bridge",
    "Scope":"local","Created":"2026-11-26T20:24:49.303Z","EnableIPv4":true,"EnableIPv6":false,"Internal":true,
    "Labels":{"c":"d","a":"b"}})",
                                    "network");
  json::object row = network_row(network, true);
  EXPECT_EQ(row.at("ID"), "429b5238148f");
  EXPECT_EQ(row.at("CreatedAt"), "2026-11-26 20:24:49.303 +0000 UTC");
  EXPECT_EQ(row.at("IPv4"), "true");
  EXPECT_EQ(row.at("IPv6"), "false");
  EXPECT_EQ(row.at("Internal"), "true");
  EXPECT_EQ(row.at("Labels"), "a=b,c=d");
  EXPECT_EQ(network_row(network, false).at("ID"), "429b5238148f4ed468b3b9c1");
}

TEST(Units, TimesPrintAsGoPrintsThem) {
  EXPECT_EQ(go_time("2026-11-26T20:24:49Z"), "2026-11-26 20:24:49 +0000 UTC");
  EXPECT_EQ(go_time("2026-11-26T20:24:49.5+01:00"), "2026-11-26 20:24:49.5 +0100 +0100");
  EXPECT_EQ(go_time(""), "");
}

TEST(NaturalOrder, NumbersInNamesAreCompared) {
  EXPECT_TRUE(natural_less("net2", "net10"));
  EXPECT_FALSE(natural_less("net10", "net2"));
  EXPECT_TRUE(natural_less("80/tcp", "8000/tcp"));
  EXPECT_TRUE(natural_less("net", "net1"));
  EXPECT_TRUE(natural_less("a99999999999999999999", "a100000000000000000000"));
  EXPECT_TRUE(natural_less("a1", "a01"));
  EXPECT_FALSE(natural_less("a1", "a1"));
  EXPECT_TRUE(natural_less("B", "a"));
}

TEST(Rows, AnImageHasARowForEachName) {
  json::value image = *parse_json(R"({"Id":"sha256:b9080b08378bc17d","RepoTags":["a:1","a:2","b:1"],
    "RepoDigests":["a@sha256:11"],"Size":1985564,"SharedSize":-1,"Containers":-1,"Created":0})",
                                  "image");
  auto rows = image_rows(image, true, false);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].at("Tag"), "2");
  EXPECT_EQ(rows[0].at("Digest"), "<none>");
  EXPECT_EQ(rows[0].at("Size"), "1.99MB");
  EXPECT_EQ(image_rows(image, true, true)[0].at("Digest"), "sha256:11");
  json::value dangling = *parse_json(R"({"Id":"sha256:b9","RepoTags":[],"Size":1})", "image");
  EXPECT_EQ(image_rows(dangling, true, false)[0].at("Repository"), "<none>");
}

TEST(Indent, KeepsOrderNumbersAndStrings) {
  EXPECT_EQ(indent_json(R"([{"b":1.50,"a":[],"c":{},"s":"x: [\" ","l":[1,2]}])"),
            "[\n    {\n        \"b\": 1.50,\n        \"a\": [],\n        \"c\": {},\n        \"s\": \"x: "
            "[\\\" \",\n"
            "        \"l\": [\n            1,\n            2\n        ]\n    }\n]");
  EXPECT_EQ(indent_json("[]"), "[]");
}

constexpr Column kColumns[] = {{"ID", "CONTAINER ID"}, {"Names", "NAMES"}};
constexpr ListLayout kLayout{"*formatter.ContainerContext", "{{.ID}}\t{{.Names}}", kColumns};

std::string rendered(std::string_view format) {
  std::vector<json::object> rows{{{"ID", "1"}, {"Names", "web"}}, {{"ID", "2"}, {"Names", "db"}}};
  Result<ListFormat> made = ListFormat::parse(format, kLayout);
  if (!made) return made.error().message;
  Result<std::string> out = made->render(rows);
  return out ? *out : out.error().message;
}

TEST(ListFormat, KnowsDockersFormats) {
  EXPECT_EQ(rendered(""), "CONTAINER ID   NAMES\n1              web\n2              db\n");
  EXPECT_EQ(rendered("table {{.Names}}\\t{{upper .ID}}"),
            "NAMES     CONTAINER ID\nweb       1\ndb        2\n");
  EXPECT_EQ(rendered("json"), "{\"ID\":\"1\",\"Names\":\"web\"}\n{\"ID\":\"2\",\"Names\":\"db\"}\n");
  EXPECT_EQ(rendered("{{.Names}}"), "web\ndb\n");
  EXPECT_EQ(rendered("{{.Nope}}"),
            "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field "
            "Nope in type "
            "*formatter.ContainerContext");
  EXPECT_EQ(rendered("{{.ID"), "failed to parse template: template: :1: unclosed action");
}

}  // namespace
}  // namespace berth::cli
