// SPDX-License-Identifier: Apache-2.0
// What berth-runtime remembers between its invocations, one directory a container:
//
//   <root>/<id>/
//     config.json   the configuration as it was given
//     record.json   the pid and its start time, the bundle; written last: without it there is no container
//     go, outcome   FIFOs between `create`'s waiting child and `start` (gone once started)
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "oci/runtime_spec.h"

namespace berth::runtime {

struct Record {
  std::string id;
  pid_t pid = -1;
  std::uint64_t start_time = 0;  // clock ticks since boot: with the pid it names the process for good
  std::string bundle;
  std::string cgroup;  // empty: none
  Timestamp created;
};

class Store {
 public:
  explicit Store(std::string root) : root_(std::move(root)) {}

  std::string directory_of(const std::string& id) const { return root_ + "/" + id; }

  // Claims the id; a conflict when it is taken.
  Result<void> reserve(const std::string& id, std::string_view config) const;
  Result<void> write(const Record& record) const;
  Result<Record> read(const std::string& id) const;
  Result<oci::RuntimeSpec> read_spec(const std::string& id) const;
  Result<std::vector<std::string>> list() const;  // ids
  Result<void> remove(const std::string& id) const;

 private:
  std::string root_;
};

// A name that is safe as a path component: letters, digits, "_", "+", "-", "."; at most 1024.
Result<void> check_id(const std::string& id);

// Whether the record's process is alive, and is that process.
bool is_alive(const Record& record);
// "created", "running", "paused" or "stopped".
std::string status_of(const Store& store, const Record& record);
oci::State state_of(const Store& store, const Record& record, const oci::RuntimeSpec& spec);

}  // namespace berth::runtime
