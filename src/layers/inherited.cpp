// SPDX-License-Identifier: Apache-2.0
#include "layers/inherited.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "archive/xattr.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "layers/layer_driver.h"

namespace berth::layers {
namespace {

constexpr std::size_t kImpliedLimit = 1u << 30;

enum class Below { here, hidden, deeper };

// What a lower layer says about a directory: it has it (opened into `found`), it hides what lies deeper, or
// the next layer must be asked.
Below look_below(int tree, const std::string& path, Fd& found) {
  std::vector<std::string_view> parts = path.empty() ? std::vector<std::string_view>{} : split(path, '/');
  Result<Fd> current = open_at(tree, ".", O_RDONLY | O_DIRECTORY);
  bool opaque = false;
  for (std::string_view part : parts) {
    if (!current) return Below::hidden;
    char mark;
    opaque = opaque || (fgetxattr(current->get(), "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y');
    Result<Fd> next = open_at(current->get(), std::string(part), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    // A whiteout, a file or a link in its place hides what the layers further down have.
    if (!next) return next.error().code == ENOENT && !opaque ? Below::deeper : Below::hidden;
    current = std::move(next);
  }
  if (!current) return Below::hidden;
  found = *std::move(current);
  return Below::here;
}

Result<InheritedDirectory> attributes_of(int directory, std::string path) {
  struct stat status;
  if (fstat(directory, &status) != 0) return fail_errno(errno, "stat a directory of the layer below");
  InheritedDirectory found;
  found.path = std::move(path);
  found.mode = status.st_mode & 07777;
  found.uid = status.st_uid;
  found.gid = status.st_gid;
  found.mtime = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  found.xattrs = TRY(archive::read_xattrs(directory, "."));
  return found;
}

}  // namespace

Result<std::vector<InheritedDirectory>> look_up_inherited(int layer, std::span<const Fd> below) {
  std::vector<InheritedDirectory> inherited;
  Result<std::string> implied = read_file_at(layer, kImpliedFile, kImpliedLimit);
  if (!implied && implied.error().code == ENOENT) return inherited;
  const std::string paths = TRY(std::move(implied));
  for (std::string_view rest = paths; !rest.empty();) {
    const std::string path(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(path.size() + 1, rest.size()));
    for (const Fd& tree : below) {
      Fd found;
      const Below answer = look_below(tree.get(), path, found);
      if (answer == Below::deeper) continue;
      if (answer == Below::here) inherited.push_back(TRY(attributes_of(found.get(), path)));
      break;
    }
  }
  return inherited;
}

std::string encode(const std::vector<InheritedDirectory>& directories) {
  json::array list;
  for (const InheritedDirectory& directory : directories) {
    json::array xattrs;
    for (const auto& [name, value] : directory.xattrs)
      xattrs.push_back(json::object{{"name", to_base64(name)}, {"value", to_base64(value)}});
    // A path need not be UTF-8.
    list.push_back(json::object{{"path", to_base64(directory.path)},
                                {"mode", directory.mode},
                                {"uid", directory.uid},
                                {"gid", directory.gid},
                                {"mtime", directory.mtime},
                                {"xattrs", std::move(xattrs)}});
  }
  return json::serialize(json::object{{"directories", std::move(list)}});
}

Result<std::vector<InheritedDirectory>> decode_inherited(std::string_view text) {
  std::vector<InheritedDirectory> directories;
  const json::value document = TRY(parse_json(text, "the layer's inherited directories"));
  ObjectReader in(document, "the layer's inherited directories");
  bool readable = true;
  auto read_bytes = [&](ObjectReader& from, std::string_view name, std::string& out) {
    std::string encoded;
    from.read(name, encoded);
    if (auto bytes = from_base64(encoded))
      out = *std::move(bytes);
    else
      readable = false;
  };
  in.read_objects("directories", [&](ObjectReader& item) {
    InheritedDirectory& directory = directories.emplace_back();
    read_bytes(item, "path", directory.path);
    item.read("mode", directory.mode);
    item.read("uid", directory.uid);
    item.read("gid", directory.gid);
    item.read("mtime", directory.mtime);
    item.read_objects("xattrs", [&](ObjectReader& xattr) {
      auto& [name, value] = directory.xattrs.emplace_back();
      read_bytes(xattr, "name", name);
      read_bytes(xattr, "value", value);
    });
  });
  TRY(in.finish());
  if (!readable) return fail(ErrorKind::corrupt, "the layer's inherited directories are not readable");
  return directories;
}

}  // namespace berth::layers
