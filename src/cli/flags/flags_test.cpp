// SPDX-License-Identifier: Apache-2.0
#include "cli/flags/flags.h"

#include <gtest/gtest.h>

#include "cli/commands/run_flags.h"

namespace berth::cli {
namespace {

constexpr FlagSpec kTable[] = {
    {"all", 'a', ""},
    {"quiet", 'q', ""},
    {"proxy", 0, "", "", "true"},
    {"last", 'n', "int", "", "-1"},
    {"env", 'e', "list"},
    {"tag", 't', "string"},
    {"old", 0, "string", "", "", nullptr, "tag"},
};

Result<Parsed> parse(std::vector<std::string> arguments, bool interspersed = true) {
  return parse_flags(kTable, arguments, interspersed);
}
std::string complaint(std::vector<std::string> arguments) {
  Result<Parsed> parsed = parse(std::move(arguments));
  return parsed ? "" : parsed.error().message;
}
std::string run_complaint(std::vector<std::string> arguments) {
  Result<Parsed> parsed = parse_flags(kRunFlags, arguments, false);
  return parsed ? "" : parsed.error().message;
}

TEST(Flags, ShortOnesJoinAndTakeWhatFollows) {
  Parsed parsed = *parse({"-aq", "-eA=1", "-e", "B=2", "-e=C=3", "-n5", "-qtx"});
  EXPECT_TRUE(parsed.flags.on("all"));
  EXPECT_TRUE(parsed.flags.on("quiet"));
  EXPECT_EQ(parsed.flags.list("env"), (std::vector<std::string>{"A=1", "B=2", "C=3"}));
  EXPECT_EQ(parsed.flags.integer("last"), 5);
  EXPECT_EQ(parsed.flags.text("tag"), "x");
}

TEST(Flags, ABooleanTakesItsValueOnlyAfterAnEqualsSign) {
  Parsed parsed = *parse({"--all", "false", "--proxy=false", "-q=false"});
  EXPECT_TRUE(parsed.flags.on("all"));
  EXPECT_FALSE(parsed.flags.on("proxy"));
  EXPECT_FALSE(parsed.flags.on("quiet"));
  EXPECT_EQ(parsed.words, std::vector<std::string>{"false"});
}

TEST(Flags, OptionsEndAtTheFirstWordUnlessInterspersed) {
  EXPECT_EQ(parse({"image", "-a", "x"}, false)->words, (std::vector<std::string>{"image", "-a", "x"}));
  Parsed mixed = *parse({"one", "-a", "two"});
  EXPECT_EQ(mixed.words, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(mixed.flags.on("all"));
}

TEST(Flags, TwoDashesEndThem) {
  Parsed parsed = *parse({"-a", "--", "-q", "--nope"});
  EXPECT_EQ(parsed.words, (std::vector<std::string>{"-q", "--nope"}));
  EXPECT_EQ(parse({"-", "-a"})->words, std::vector<std::string>{"-"});
}

TEST(Flags, AnOlderSpellingStandsForAnother) { EXPECT_EQ(parse({"--old", "x"})->flags.text("tag"), "x"); }

TEST(Flags, ComplaintsReadAsDockers) {
  EXPECT_EQ(complaint({"--nope"}), "unknown flag: --nope");
  EXPECT_EQ(complaint({"--nope=1"}), "unknown flag: --nope");
  EXPECT_EQ(complaint({"-aqx"}), "unknown shorthand flag: 'x' in -x");
  EXPECT_EQ(complaint({"-n"}), "flag needs an argument: 'n' in -n");
  EXPECT_EQ(complaint({"--last"}), "flag needs an argument: --last");
  EXPECT_EQ(
      complaint({"-n", "x"}),
      "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(complaint({"--all=maybe"}),
            "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": "
            "invalid syntax");
  EXPECT_EQ(complaint({"--=x"}), "bad flag syntax: --=x");
}

TEST(Flags, ArgumentsOfRunAreChecked) {
  EXPECT_EQ(run_complaint({"--memory=abc"}),
            "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'");
  EXPECT_EQ(run_complaint({"--cpus", "x"}),
            "invalid argument \"x\" for \"--cpus\" flag: failed to parse x as a rational number");
  EXPECT_EQ(run_complaint({"--cpus", "0.0000000001"}),
            "invalid argument \"0.0000000001\" for \"--cpus\" flag: value is too precise");
  EXPECT_EQ(run_complaint({"--mount", "foo"}),
            "invalid argument \"foo\" for \"--mount\" flag: invalid field 'foo' must be a key=value pair");
  EXPECT_EQ(run_complaint({"--mount", "type=tmpfs,dst=/x,tmpfs-mode=9"}),
            "invalid argument \"type=tmpfs,dst=/x,tmpfs-mode=9\" for \"--mount\" flag: invalid value for "
            "tmpfs-mode: 9");
  EXPECT_EQ(run_complaint({"--mount", "type=volume,src=x,dst=/y,bind-propagation=rshared"}),
            "invalid argument \"type=volume,src=x,dst=/y,bind-propagation=rshared\" for \"--mount\" flag: "
            "cannot mix 'bind-*' options with mount type 'volume'");
  EXPECT_EQ(run_complaint({"-l", ""}),
            "invalid argument \"\" for \"-l, --label\" flag: invalid label '': empty name");
  EXPECT_EQ(run_complaint({"--ulimit", "nofile=5:4"}),
            "invalid argument \"nofile=5:4\" for \"--ulimit\" flag: ulimit soft limit must be less than or "
            "equal to hard limit: 5 > 4");
  EXPECT_EQ(run_complaint({"--ulimit", "nope=1"}),
            "invalid argument \"nope=1\" for \"--ulimit\" flag: invalid ulimit type: nope");
  EXPECT_EQ(run_complaint({"--add-host", "x:y"}),
            "invalid argument \"x:y\" for \"--add-host\" flag: invalid IP address in add-host: \"y\"");
  EXPECT_EQ(run_complaint({"--sysctl", "x"}),
            "invalid argument \"x\" for \"--sysctl\" flag: sysctl 'x' is not allowed");
  EXPECT_EQ(run_complaint({"--blkio-weight", "99999999"}),
            "invalid argument \"99999999\" for \"--blkio-weight\" flag: strconv.ParseUint: parsing "
            "\"99999999\": value out of range");
  EXPECT_EQ(run_complaint({"-a", "foo"}),
            "invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR");
  EXPECT_EQ(run_complaint({"-e", "=x"}),
            "invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x");
  EXPECT_EQ(run_complaint({"--health-interval", "x"}),
            "invalid argument \"x\" for \"--health-interval\" flag: time: invalid duration \"x\"");
}

TEST(Flags, NetworkArgumentsOfRunAreChecked) {
  EXPECT_EQ(run_complaint({"--network", "name=n,foo=bar"}),
            "invalid argument \"name=n,foo=bar\" for \"--network\" flag: invalid field key foo");
  EXPECT_EQ(run_complaint({"--network", "alias=a"}),
            "invalid argument \"alias=a\" for \"--network\" flag: network name/id is not specified");
  EXPECT_EQ(run_complaint({"--net", "name=n,driver-opt=x"}),
            "invalid argument \"name=n,driver-opt=x\" for \"--network\" flag: invalid key value pair format "
            "in driver options");
  EXPECT_EQ(run_complaint({"--network", "name=n,gw-priority=x"}),
            "invalid argument \"name=n,gw-priority=x\" for \"--network\" flag: invalid gw-priority (x): "
            "invalid syntax");
  EXPECT_EQ(run_complaint({"--network", "name=n,gw-priority=99999999999999999999"}),
            "invalid argument \"name=n,gw-priority=99999999999999999999\" for \"--network\" flag: invalid "
            "gw-priority (99999999999999999999): value out of range");
  EXPECT_EQ(run_complaint({"--link", "a:b:c"}),
            "invalid argument \"a:b:c\" for \"--link\" flag: bad format for links: a:b:c");
  EXPECT_EQ(run_complaint({"--link", ""}),
            "invalid argument \"\" for \"--link\" flag: empty string specified for links");
  for (std::string domain : {"-a", "a-.b", "a..b", "a_b", "a b", ""})
    EXPECT_EQ(
        run_complaint({"--dns-search", domain}),
        fmt::format("invalid argument \"{0}\" for \"--dns-search\" flag: {0} is not a valid domain", domain));
  EXPECT_EQ(run_complaint({"--dns-search", "a-b.c."}), "");
}

TEST(Flags, NothingBetweenCommasIsNoString) {
  constexpr FlagSpec table[] = {{"subnet", 0, "strings"}};
  auto list = [&](std::vector<std::string> arguments) {
    return parse_flags(table, arguments, true)->flags.list("subnet");
  };
  EXPECT_TRUE(list({"--subnet", ""}).empty());
  EXPECT_EQ(list({"--subnet", "a,b", "--subnet", "c"}), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Flags, HelpWrapsInItsOwnColumn) {
  constexpr FlagSpec table[] = {
      {"all", 'a', "", "Show stopped containers too"},
      {"filter", 'f', "filter", "A long explanation that has to go on in the next line because it is long"},
      {"last", 'n', "int", "Show the n last", "-1"},
      {"name", 0, "string", "With a default", "x"},
      {"gone", 0, "", "Hidden", "", nullptr, "", true},
  };
  EXPECT_EQ(describe_flags(table, 60),
            "  -a, --all             Show stopped containers too\n"
            "  -f, --filter filter   A long explanation that has to\n"
            "                        go on in the next line because\n"
            "                        it is long\n"
            "  -n, --last int        Show the n last (default -1)\n"
            "      --name string     With a default (default \"x\")\n");
}

}  // namespace
}  // namespace berth::cli
