// SPDX-License-Identifier: Apache-2.0
// What variables stand for where a file is looked at and not built: for its checks and its outline.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/dockerfile.h"
#include "dockerfile/expand.h"

namespace berth::dockerfile {

// Of the file before its first FROM, or of a stage so far.
class Variables {
 public:
  // `base`: of the stage that this one is FROM. It has to live as long.
  explicit Variables(const Variables* base = nullptr) : base_(base) {}

  bool knows(std::string_view name) const { return find(name) != nullptr; }
  std::optional<std::string> value(std::string_view name) const;
  std::vector<std::string_view> names() const;  // not all, where there are very many

  void set(std::string_view name, std::string value);
  void declare(std::string_view name);  // ARG without a value

  // Of words in this place. The object has to live as long.
  Expansion expansion(char escape, std::set<std::string>* used = nullptr,
                      std::set<std::string>* unset = nullptr) const;

 private:
  const std::optional<std::string>* find(std::string_view name) const;

  const Variables* base_;
  std::map<std::string, std::optional<std::string>, std::less<>> own_;
};

using Arguments = std::map<std::string, std::string>;  // --build-arg

// ARGs before the first FROM, and those that are there by themselves: TARGETPLATFORM and its kin.
Variables global_variables(const Dockerfile& file, const Arguments& arguments);
// What a stage's ARG or ENV changes.
void take_over(Variables& variables, const Instruction& instruction, const Variables& globals,
               const Arguments& arguments, char escape);

// The earlier stage that a stage is FROM; nothing where it is an image.
std::optional<std::size_t> base_stage(const Dockerfile& file, std::size_t stage, const Variables& globals);

}  // namespace berth::dockerfile
