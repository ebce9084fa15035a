// SPDX-License-Identifier: Apache-2.0
#include "cli/build/layout_write.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/file.h"
#include "cli/output/pending_file.h"

namespace berth::cli {
namespace {

constexpr std::string_view kBlobs = "blobs/sha256/";
constexpr std::size_t kLargestDocument = 16u << 20;

bool is_blob_name(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == name.npos;
}

// A link in its place leads elsewhere: an error.
Result<Fd> open_or_make(int directory, const std::string& name) {
  if (::mkdirat(directory, name.c_str(), 0755) != 0 && errno != EEXIST)
    return fail_errno(errno, "create {}", name);
  return open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// Where a file system knows no locks there is one writer, or some that know what they do.
void wait_for_others(int directory) {
  while (::flock(directory, LOCK_EX) != 0 && errno == EINTR) {
  }
}

Result<std::string> read_text(archive::TarReader& reader, const archive::TarEntry& entry) {
  if (entry.size > kLargestDocument)
    return fail(ErrorKind::corrupt, "{} is larger than {} bytes", entry.name, kLargestDocument);
  std::string text;
  for (archive::TarChunk chunk = TRY(reader.read()); !chunk.data.empty(); chunk = TRY(reader.read()))
    text += chunk.data;
  return text;
}

Result<void> replace(const Fd& directory, const std::string& name, std::string_view text) {
  PendingFile file = TRY(PendingFile::create_in(directory, name, 0644));
  TRY(write_all(file.get(), text));
  return file.finish();
}

Result<std::vector<std::string>> names_in(const Fd& directory) {
  // Another description of it, which has a place of its own.
  Fd again = TRY(open_at(directory.get(), ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(again.get()), ::closedir);
  if (!listing) return fail_errno(errno, "list {}", kBlobs);
  (void)again.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) names.emplace_back(entry->d_name);
  return names;
}

}  // namespace

Result<LayoutWriter> LayoutWriter::open(const std::string& directory) {
  TRY(make_directories(directory, 0755));
  Fd root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  wait_for_others(root.get());
  const Fd blobs = TRY(open_or_make(root.get(), "blobs"));
  Fd inner = TRY(open_or_make(blobs.get(), "sha256"));
  return LayoutWriter(std::move(root), std::move(inner));
}

Result<void> LayoutWriter::write(archive::Source& tar) {
  archive::TarReader reader(tar);
  archive::TarEntry entry;
  while (TRY(reader.next(entry))) TRY(take(reader, entry));
  TRY(reader.drain());
  return finish();
}

Result<void> LayoutWriter::take(archive::TarReader& reader, const archive::TarEntry& entry) {
  if (entry.type == archive::TarType::directory) return {};
  const std::string_view name = entry.name;
  if (entry.type == archive::TarType::regular) {
    if (name.starts_with(kBlobs) && is_blob_name(name.substr(kBlobs.size())))
      return take_blob(reader, entry, std::string(name.substr(kBlobs.size())));
    if (name == "oci-layout" || name == "index.json") {
      (name == "index.json" ? index_ : layout_) = TRY(read_text(reader, entry));
      return {};
    }
  }
  return fail(ErrorKind::corrupt, "\"{}\" is no part of an OCI layout", name);
}

Result<void> LayoutWriter::take_blob(archive::TarReader& reader, const archive::TarEntry& entry,
                                     std::string name) {
  kept_.insert(name);
  struct stat info {};
  if (::fstatat(blobs_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
      static_cast<std::uint64_t>(info.st_size) == entry.size)
    return {};
  PendingFile file = TRY(PendingFile::create_in(blobs_, std::move(name), 0644));
  std::uint64_t size = 0;
  for (archive::TarChunk chunk = TRY(reader.read()); !chunk.data.empty(); chunk = TRY(reader.read())) {
    TRY(write_all(file.get(), chunk.data));
    size += chunk.data.size();
  }
  if (size != entry.size) return fail(ErrorKind::corrupt, "{} has holes", entry.name);
  return file.finish();
}

Result<void> LayoutWriter::finish() {
  if (!index_ || !layout_) return fail(ErrorKind::corrupt, "the engine has sent no whole OCI layout");
  TRY(replace(root_, "oci-layout", *layout_));
  TRY(replace(root_, "index.json", *index_));
  return remove_others();
}

// Blobs of the older layout, and what writers have left that were killed. What else the user keeps there
// stays.
Result<void> LayoutWriter::remove_others() {
  for (const std::string& name : TRY(names_in(blobs_))) {
    const bool ours = is_blob_name(name) || name.starts_with(PendingFile::kPrefix);
    if (ours && !kept_.contains(name)) ::unlinkat(blobs_.get(), name.c_str(), 0);
  }
  return {};
}

}  // namespace berth::cli
