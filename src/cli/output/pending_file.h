// SPDX-License-Identifier: Apache-2.0
// A file of the user's that appears under its name once it is complete. Until then it has no name, so that
// nothing is left of it, however this program ends; on file systems that cannot do that, one that nobody
// guesses.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace berth::cli {

class PendingFile {
 public:
  static constexpr std::string_view kPrefix = ".berth-";  // of the names that nobody guesses

  static Result<PendingFile> create(const std::string& path, mode_t mode);
  // `name` is an entry of `directory`.
  static Result<PendingFile> create_in(const Fd& directory, std::string name, mode_t mode);
  PendingFile(PendingFile&& other) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  ~PendingFile();

  int get() const noexcept { return file_.get(); }
  // Replaces what has the name by now, in one step.
  Result<void> finish();

 private:
  PendingFile(Fd directory, std::string name) : directory_(std::move(directory)), name_(std::move(name)) {}
  Result<void> open(mode_t mode);
  Result<void> give_temporary_name();
  Fd directory_, file_;
  std::string name_;
  std::string temporary_;  // the name that it has; "": none
};

}  // namespace berth::cli
