// SPDX-License-Identifier: Apache-2.0
// A directory of the builder's for as long as something works in it: a context that was sent, a step's upper
// directory and mounts. What is in there was made by others and may be of any depth.
//
//   Workspace work = TRY(Workspace::create(steps));
//   ... work.path() ...
//
// What a crash leaves is taken away by clear_workspaces at the next start.
#pragma once
#include <string>
#include <utility>

#include "base/error.h"

namespace berth::build {

class Workspace {
 public:
  // A new one below `parent`, mode 0700.
  static Result<Workspace> create(const std::string& parent);
  Workspace(Workspace&& other) noexcept
      : parent_(std::move(other.parent_)), name_(std::exchange(other.name_, {})) {}
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();  // with all that is in it; nothing may be mounted there any more
  std::string path() const { return parent_ + "/" + name_; }

 private:
  Workspace(std::string parent, std::string name) : parent_(std::move(parent)), name_(std::move(name)) {}
  std::string parent_;
  std::string name_;
};

// Something that is attached to a directory in a workspace, until this goes. Its place is in the workspace
// itself or one level below.
class Attached {
 public:
  explicit Attached(std::string path) : path_(std::move(path)) {}
  Attached(Attached&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Attached& operator=(Attached&&) = delete;
  ~Attached();

 private:
  std::string path_;
};

// Removes every workspace below `parent`, and takes off what is attached in them. For the start, when nobody
// has one.
Result<void> clear_workspaces(const std::string& parent);

}  // namespace berth::build
