// SPDX-License-Identifier: Apache-2.0
#include "runtime/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "sys/cgroup.h"
#include "sys/namespaces.h"

namespace berth::runtime {

Result<void> check_id(const std::string& id) {
  bool plain = !id.empty() && id.size() <= 1024 && id != "." && id != ".." &&
               std::ranges::all_of(id, [](unsigned char c) {
                 return std::isalnum(c) || c == '_' || c == '+' || c == '-' || c == '.';
               });
  if (!plain)
    return fail(ErrorKind::invalid, "\"{}\" is not a container id: use letters, digits, _, +, - and .", id);
  return {};
}

Result<void> Store::reserve(const std::string& id, std::string_view config) const {
  TRY(check_id(id));
  const std::string directory = directory_of(id);
  int code = mkdir(directory.c_str(), 0700) == 0 ? 0 : errno;
  if (code == ENOENT) {  // the first container since the machine started
    TRY(make_directories(root_, 0700));
    code = mkdir(directory.c_str(), 0700) == 0 ? 0 : errno;
  }
  if (code == EEXIST) return fail(ErrorKind::conflict, "container with id \"{}\" exists already", id);
  if (code != 0) return fail_errno(code, "cannot create {}", directory);
  Fd file = TRY(open_file(directory + "/config.json", O_WRONLY | O_CREAT | O_EXCL, 0600));
  return write_all(file.get(), config);
}

Result<void> Store::write(const Record& record) const {
  json::object out{
      {"id", record.id},         {"pid", record.pid},       {"start_time", record.start_time},
      {"bundle", record.bundle}, {"cgroup", record.cgroup}, {"created", format_time(record.created)}};
  Fd directory = TRY(open_file(directory_of(record.id), O_RDONLY | O_DIRECTORY));
  return write_file_atomically(directory.get(), "record.json", json::serialize(out), 0600,
                               Durability::visible);
}

Result<Record> Store::read(const std::string& id) const {
  TRY(check_id(id));
  Result<std::string> text = read_file(directory_of(id) + "/record.json");
  if (!text) return fail(ErrorKind::not_found, "container \"{}\" does not exist", id);
  json::value document = TRY(parse_json(*text, "the container's record"));
  ObjectReader in(document, "");
  Record record;
  std::string created;
  in.read("id", record.id);
  in.read("pid", record.pid);
  in.read("start_time", record.start_time);
  in.read("bundle", record.bundle);
  in.read("cgroup", record.cgroup);
  in.read("created", created);
  TRY_AS("the container's record", in.finish());
  record.created = TRY(parse_time(created));
  return record;
}

Result<oci::RuntimeSpec> Store::read_spec(const std::string& id) const {
  std::string text = TRY(read_file(directory_of(id) + "/config.json"));
  return oci::parse_runtime_spec(text);
}

Result<std::vector<std::string>> Store::list() const {
  if (!exists(root_)) return std::vector<std::string>{};
  std::vector<std::string> names = TRY(list_directory(root_));
  std::erase_if(names, [&](const std::string& name) { return !exists(directory_of(name) + "/record.json"); });
  return names;
}

Result<void> Store::remove(const std::string& id) const {
  TRY(check_id(id));
  const std::string directory = directory_of(id);
  // The usual files by name: cheaper than reading the directory.
  for (const char* name : {"/record.json", "/config.json", "/go", "/outcome"})
    unlink((directory + name).c_str());
  if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
  return remove_tree(directory);
}

bool is_alive(const Record& record) {
  Result<std::uint64_t> start = sys::process_start_time(record.pid);
  if (!start || *start != record.start_time) return false;
  // A process that has exited and was not waited for is still there, as a zombie.
  Result<std::string> text = read_file("/proc/" + std::to_string(record.pid) + "/stat");
  if (!text) return false;
  std::size_t end = text->rfind(')');
  return end != std::string::npos && end + 2 < text->size() && (*text)[end + 2] != 'Z' &&
         (*text)[end + 2] != 'X';
}

std::string status_of(const Store& store, const Record& record) {
  if (!is_alive(record)) return "stopped";
  if (exists(store.directory_of(record.id) + "/go")) return "created";
  if (!record.cgroup.empty())
    if (Result<sys::Cgroup> group = sys::Cgroup::at(record.cgroup))
      if (Result<bool> frozen = group->frozen(); frozen && *frozen) return "paused";
  return "running";
}

oci::State state_of(const Store& store, const Record& record, const oci::RuntimeSpec& spec) {
  oci::State state;
  state.version = spec.version.empty() ? state.version : spec.version;
  state.id = record.id;
  state.status = status_of(store, record);
  state.pid = state.status == "stopped" ? 0 : record.pid;
  state.bundle = record.bundle;
  state.annotations = spec.annotations;
  return state;
}

}  // namespace berth::runtime
