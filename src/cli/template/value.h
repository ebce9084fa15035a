// SPDX-License-Identifier: Apache-2.0
// What a template computes with: a JSON value, owned or borrowed from the document, or nothing. Internal to
// this folder.
#pragma once
#include <memory>
#include <string>

#include "base/json.h"

namespace berth::cli {

class Value {
 public:
  Value() = default;  // nothing: prints as "<no value>"
  static Value borrow(const json::value& in_document, std::string_view name = "") {
    Value value;
    value.at_ = &in_document;
    value.name_ = name;
    return value;
  }
  static Value own(json::value made) { return share(std::make_shared<const json::value>(std::move(made))); }
  static Value share(std::shared_ptr<const json::value> shared, std::string_view name = "") {
    Value value;
    value.at_ = shared.get();
    value.keep_ = std::move(shared);
    value.name_ = name;
    return value;
  }
  // A part of this value, which stays alive with it.
  Value part(const json::value& inner, std::string_view name = "") const {
    Value value = *this;
    value.at_ = &inner;
    value.name_ = name;
    return value;
  }

  bool present() const { return at_ != nullptr; }
  const json::value& get() const { return *at_; }
  const std::string& name() const { return name_; }  // of the member that led here

 private:
  const json::value* at_ = nullptr;
  std::shared_ptr<const json::value> keep_;
  std::string name_;
};

bool truth(const Value& value);                     // as Go's templates judge emptiness
std::string go_text(const json::value& value);      // as fmt prints it with %v
std::string go_quote(std::string_view text);        // as fmt prints a string with %q
std::string go_type_name(const Value& value);       // "string", "[]interface {}"
std::string go_json(const json::value& value);      // compact, with Go's escapes of <, > and &
std::string go_json_string(std::string_view text);  // one string of that
std::string go_number(double value);                // as fmt prints a float64 with %v

}  // namespace berth::cli
