// SPDX-License-Identifier: Apache-2.0
// Go's text/template, as far as --format needs it, over JSON documents: fields, variables, pipelines, if,
// range, with, break, continue, comments, trim markers, the standard functions and those that Docker's
// command line adds (json, join, split, lower, upper, title, pad, truncate). No define, block or template.
//
//   Template format = TRY(Template::parse("{{.Names}}: {{json .Labels}}"));
//   std::string line = TRY(format.execute(row, {}));
//
// Errors read as Go's do: `template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"`.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace boost::json {
class value;
}

namespace berth::cli {

struct TemplateNode;

// What a missing or null member of an object is. `absent` prints "<no value>", `error` ends the execution
// with the message; otherwise `replacement` stands in for the member.
struct MissingMember {
  enum class Outcome { absent, error, replace } outcome = Outcome::absent;
  std::string message;
  std::shared_ptr<const boost::json::value> replacement;
};

struct TemplateOptions {
  // Asked for each member that an object does not have, or that is null: `owner` is the name of the member
  // that the object itself was reached by ("" for the root), `found` is false when it is not there at all.
  std::function<MissingMember(const boost::json::value& object, std::string_view owner, std::string_view name,
                              bool found)>
      missing;
  // A method of the root, called as {{.Name "argument"}}: null when there is none of that name.
  std::function<const std::string*(std::string_view name, const std::vector<std::string>& arguments)> method;
  // Functions return their first argument unchanged: how the header of a table is made.
  bool functions_pass = false;
};

class Template {
 public:
  static Result<Template> parse(std::string_view text, std::string_view name = "");
  Result<std::string> execute(const boost::json::value& root, const TemplateOptions& options) const;

  // The names of the root's members that the template mentions: whether it is worth asking for sizes.
  bool mentions(std::string_view field) const;

 private:
  std::string name_;
  std::string text_;
  std::shared_ptr<const std::vector<TemplateNode>> nodes_;
};

}  // namespace berth::cli
