// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace berth {

Result<Fd> open_at(int directory, const std::string& path, int flags, mode_t mode) {
  int fd;
  do fd = openat(directory, path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno(errno, "open {}", path);
  return Fd(fd);
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}

Result<std::string> read_file_at(int directory, const std::string& name, std::size_t limit) {
  Fd file = TRY(open_at(directory, name, O_RDONLY));
  return TRY_AS("read " + name, read_to_end(file.get(), limit));
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  return read_file_at(AT_FDCWD, path, limit);
}

Result<void> write_existing(const std::string& path, std::string_view data) {
  Fd file = TRY(open_file(path, O_WRONLY));
  for (;;) {
    ssize_t put = ::write(file.get(), data.data(), data.size());
    if (put == static_cast<ssize_t>(data.size())) return {};
    if (put >= 0)
      return fail(ErrorKind::system, "write '{}' to {}: only {} bytes were taken", data, path, put);
    if (errno != EINTR) return fail_errno(errno, "write '{}' to {}", data, path);
  }
}

namespace {

// Unique in this process and, with the process id, on this machine.
std::string temporary_name(const std::string& name) {
  static std::atomic<unsigned> counter{0};
  const std::size_t base = name.rfind('/') + 1;  // 0 without a slash
  return fmt::format("{}.{}.{}.{}", name.substr(0, base), name.substr(base), getpid(),
                     counter.fetch_add(1, std::memory_order_relaxed));
}

}  // namespace

Result<void> write_file_atomically(int directory, const std::string& name, std::string_view data, mode_t mode,
                                   Durability durability) {
  const std::string temporary = temporary_name(name);
  auto write = [&]() -> Result<void> {
    Fd file = TRY(open_at(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    TRY(write_all(file.get(), data));
    if (durability == Durability::durable && fdatasync(file.get()) != 0) return fail_errno(errno, "sync");
    if (renameat(directory, temporary.c_str(), directory, name.c_str()) != 0)
      return fail_errno(errno, "rename");
    if (durability == Durability::durable) TRY(sync_directory(directory));
    return {};
  };
  Result<void> written = write();
  if (!written) {
    unlinkat(directory, temporary.c_str(), 0);
    return std::unexpected(std::move(written).error().within("write " + name));
  }
  return {};
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT) {
    std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos || slash == 0) return fail_errno(ENOENT, "create directory {}", path);
    TRY(make_directories(path.substr(0, slash), mode));
    if (mkdir(path.c_str(), mode) == 0) return {};
  }
  if (errno == EEXIST) {
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return fail_errno(ENOTDIR, "create directory {}", path);
  }
  return fail_errno(errno, "create directory {}", path);
}

Result<void> sync_directory(int directory) {
  if (fsync(directory) != 0) return fail_errno(errno, "sync directory");
  return {};
}

namespace {

struct DirectoryCloser {
  void operator()(DIR* stream) const noexcept { closedir(stream); }
};
using DirectoryStream = std::unique_ptr<DIR, DirectoryCloser>;

Result<DirectoryStream> open_stream(Fd directory) {
  DIR* stream = fdopendir(directory.get());
  if (!stream) return fail_errno(errno, "list directory");
  directory.release();
  return DirectoryStream(stream);
}

bool is_dot(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

// Depth is bounded by descriptors: one a level, as deep as a path can be made in practice.
void remove_contents(Fd opened, dev_t device, Result<void>& first) {
  const int directory = opened.get();
  Result<DirectoryStream> stream = open_stream(std::move(opened));
  if (!stream) {
    if (first) first = std::unexpected(std::move(stream).error());
    return;
  }
  while (dirent* entry = readdir(stream->get())) {
    if (is_dot(entry->d_name)) continue;
    if (entry->d_type != DT_DIR && unlinkat(directory, entry->d_name, 0) == 0) continue;
    int child = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child >= 0) {
      struct stat info;
      Fd owned(child);
      if (fstat(child, &info) == 0 && info.st_dev != device) {
        if (first) first = fail_errno(EBUSY, "remove {}: a file system is mounted on it", entry->d_name);
        continue;
      }
      remove_contents(std::move(owned), device, first);
    }
    if (unlinkat(directory, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT && first)
      first = fail_errno(errno, "remove {}", entry->d_name);
  }
}

}  // namespace

Result<void> remove_tree_at(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove {}", name);
  Fd tree = TRY(open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat info;
  if (fstat(tree.get(), &info) != 0) return fail_errno(errno, "inspect {}", name);
  Result<void> first;
  remove_contents(std::move(tree), info.st_dev, first);
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && first)
    first = fail_errno(errno, "remove {}", name);
  return first;
}

Result<void> remove_tree(const std::string& path) { return remove_tree_at(AT_FDCWD, path); }

Result<std::vector<std::string>> list_directory(const std::string& path) {
  Fd directory = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  DirectoryStream stream = TRY_AS(path, open_stream(std::move(directory)));
  std::vector<std::string> names;
  while (dirent* entry = readdir(stream.get()))
    if (!is_dot(entry->d_name)) names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  return names;
}

bool exists(const std::string& path) noexcept { return access(path.c_str(), F_OK) == 0; }

Result<TemporaryDirectory> TemporaryDirectory::create(std::string_view prefix, const std::string& parent) {
  const char* configured = std::getenv("TMPDIR");
  std::string base = !parent.empty() ? parent : configured && *configured ? configured : "/tmp";
  std::string path = fmt::format("{}/{}.XXXXXX", base, prefix);
  if (!mkdtemp(path.data())) return fail_errno(errno, "create a temporary directory {}", path);
  return TemporaryDirectory(std::move(path));
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!path_.empty()) (void)remove_tree(path_);
}

}  // namespace berth
