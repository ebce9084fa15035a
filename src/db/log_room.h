// SPDX-License-Identifier: Apache-2.0
// Disk space ahead of the database's log, taken while there is some. On a full disk it is what a removal is
// written down in, which is the way out of a full disk: nobody else can take it, as they could what a deleted
// file gives back.
#pragma once
#include <sys/types.h>

#include <string>
#include <utility>

#include "base/fd.h"

namespace berth::db {

class LogRoom {
 public:
  explicit LogRoom(std::string log_path) : path_(std::move(log_path)) {}

  // To be called after a commit. Silent where the disk is full already, or its file system cannot allocate
  // ahead.
  void keep_ahead();

 private:
  std::string path_;
  Fd log_;
  off_t size_ = 0;       // of the log when it was last looked at
  off_t allocated_ = 0;  // up to here
};

}  // namespace berth::db
