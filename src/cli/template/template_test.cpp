// SPDX-License-Identifier: Apache-2.0
// What Go's text/template prints for the same templates and documents.
#include "cli/template/template.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::cli {
namespace {

constexpr std::string_view kDocument = R"({
  "Name": "/web", "Id": "abc", "Count": 3, "Ratio": 1.5, "On": true, "Off": false, "Nothing": null, "Empty": "",
  "Config": {"Cmd": ["sh", "-c", "exit 3"], "Labels": {"z": "last", "a": "first"}, "Env": []},
  "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8123"}], "77/tcp": null},
  "Text": "a<b>&c"
})";

std::string run(std::string_view text) {
  static const json::value document = *parse_json(kDocument, "the document");
  Result<Template> parsed = Template::parse(text);
  if (!parsed) return "PARSE " + parsed.error().message;
  TemplateOptions options;
  options.missing = [](const json::value&, std::string_view owner, std::string_view name, bool found) {
    if (found || owner == "Labels") return MissingMember{};
    return MissingMember{
        MissingMember::Outcome::error, "map has no entry for key \"" + std::string(name) + "\"", {}};
  };
  Result<std::string> out = parsed->execute(document, options);
  return out ? *out : "EXEC " + out.error().message;
}

struct Case {
  std::string_view text;
  std::string_view wanted;
};

void expect(std::initializer_list<Case> cases) {
  for (const Case& item : cases) EXPECT_EQ(run(item.text), item.wanted) << item.text;
}

TEST(Template, PrintsFieldsAsGoDoes) {
  expect({{"plain", "plain"},
          {"{{.Name}} {{.Count}} {{.Ratio}} {{.On}}", "/web 3 1.5 true"},
          {"{{.Config.Cmd}}", "[sh -c exit 3]"},
          {"{{.Config.Labels}}", "map[a:first z:last]"},
          {"{{.Ports}}", "map[77/tcp:<nil> 80/tcp:[map[HostIp:0.0.0.0 HostPort:8123]]]"},
          {"{{.Config.Labels.nope}}", "<no value>"},
          {"{{.Nothing}}", "<no value>"},
          {"{{(index .Config.Cmd 1)}}", "-c"},
          {"{{$x := .Config}}{{$x.Labels.a}} {{$.Name}}", "first /web"},
          {"a {{- .Count -}} b", "a3b"},
          {"{{/* nothing */}}x{{- /* more */ -}} y", "xy"}});
}

TEST(Template, Branches) {
  expect({{"{{if .On}}yes{{else}}no{{end}}", "yes"},
          {"{{if .Off}}yes{{else if .Empty}}empty{{else}}no{{end}}", "no"},
          {"{{if and .On .Count}}both{{end}}{{if or .Off .Empty}}either{{end}}", "both"},
          {"{{with .Config}}{{.Labels.z}}{{else}}none{{end}}", "last"},
          {"{{with .Empty}}x{{else}}none{{end}}", "none"},
          {"{{if not .Nothing}}none{{end}}", "none"},
          {"{{if eq .Count 3}}three{{end}}{{if ne .Name \"/web\"}}other{{end}}", "three"},
          {"{{eq .Name \"x\" \"/web\"}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge \"b\" \"a\"}}",
           "true true true false true"}});
}

TEST(Template, Loops) {
  expect(
      {{"{{range .Config.Cmd}}<{{.}}>{{end}}", "<sh><-c><exit 3>"},
       {"{{range $i, $v := .Config.Cmd}}{{if $i}},{{end}}{{$i}}={{$v}}{{end}}", "0=sh,1=-c,2=exit 3"},
       {"{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=first;z=last;"},
       {"{{range .Config.Env}}x{{else}}none{{end}}", "none"},
       {"{{range .Config.Cmd}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}} {{end}}", "sh exit 3 "},
       {"{{range .Config.Cmd}}{{.}}{{break}}{{end}}", "sh"},
       {"{{$n := 0}}{{range .Config.Cmd}}{{$n = len .}}{{end}}{{$n}}", "6"},
       {"{{range $p, $c := .Ports}}{{$p}} -> {{(index $c 0).HostPort}}{{end}}",
        "EXEC template: :1:39: executing \"\" at <index $c 0>: error calling index: index of untyped nil"}});
}

TEST(Template, Functions) {
  expect({{"{{json .Config.Labels}} {{json .Text}} {{json .Nothing}}",
           "{\"z\":\"last\",\"a\":\"first\"} \"a\\u003cb\\u003e\\u0026c\" null"},
          {"{{join .Config.Cmd \",\"}}", "sh,-c,exit 3"},
          {"{{upper .Name}} {{lower \"AB\"}} {{title \"some words\"}}", "/WEB ab Some Words"},
          {"{{split .Name \"/\"}} {{index (split .Name \"/\") 1}}", "[ web] web"},
          {"{{.Name | printf \"%q %s\" .Id}}", "\"abc\" /web"},
          {"{{printf \"%05d|%-6s|%6s|%.2f|%x|%v|%%\" .Count .Id .Id .Ratio 255 .On}}",
           "00003|abc   |   abc|1.50|ff|true|%"},
          {"{{printf \"%d\" .Name}}{{printf \"%s\"}}", "%!d(string=/web)%!s(MISSING)"},
          {"{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"},
          {"{{println 1 \"a\"}}", "1 a\n"},
          {"{{len .Config.Cmd}} {{len .Name}} {{len .Config}}", "3 4 3"},
          {"{{slice .Name 1 3}} {{slice .Config.Cmd 1}}", "we [-c exit 3]"},
          {"{{truncate .Name 2}}|{{pad .Id 1 2}}|", "/w| abc  |"},
          {"{{index .Config.Labels \"a\"}}{{index .Config.Labels \"nope\"}}", "first<no value>"}});
}

TEST(Template, ErrorsSayWhere) {
  expect({{"{{.Foo", "PARSE template: :1: unclosed action"},
          {"{{.Nope}}", "EXEC template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""},
          {"{{.Config.Nope}}",
           "EXEC template: :1:9: executing \"\" at <.Config.Nope>: map has no entry for key \"Nope\""},
          {"x\n{{.Name.X}}",
           "EXEC template: :2:7: executing \"\" at <.Name.X>: can't evaluate field X in type string"},
          {"{{if .On}}", "PARSE template: :1: unexpected EOF"},
          {"{{end}}", "PARSE template: :1: unexpected {{end}}"},
          {"{{nope .On}}", "PARSE template: :1: function \"nope\" not defined"},
          {"{{}}", "PARSE template: :1: missing value for command"},
          {"{{.On | }}", "PARSE template: :1: missing value for command"},
          {"{{\"x}}", "PARSE template: :1: unterminated quoted string"},
          {"{{(.On}}", "PARSE template: :1: unclosed left paren"}});
}

TEST(Template, HostileTextsEndInErrors) {
  EXPECT_TRUE(run(std::string("{{") + std::string(10000, '(') + "}}").starts_with("PARSE"));
  std::string blocks;
  for (int i = 0; i < 10000; ++i) blocks += "{{if .On}}";
  EXPECT_TRUE(run(blocks).starts_with("PARSE"));
  EXPECT_EQ(run("{{printf \"%999999999d\" 1}}").size(), 65536u);
}

TEST(Template, KnowsWhichFieldsItMentions) {
  EXPECT_TRUE(Template::parse("{{if .On}}{{.Size}}{{end}}")->mentions("Size"));
  EXPECT_TRUE(Template::parse("{{upper (print .Size)}}")->mentions("Size"));
  EXPECT_TRUE(Template::parse("{{json .}}")->mentions("Size"));
  EXPECT_FALSE(Template::parse("{{.Names}}")->mentions("Size"));
}

}  // namespace
}  // namespace berth::cli
