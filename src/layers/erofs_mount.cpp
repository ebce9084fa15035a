// SPDX-License-Identifier: Apache-2.0
#include "layers/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/tar.h"
#include "base/file.h"
#include "layers/layer_driver.h"
#include "layers/overlay.h"
#include "sys/mounts.h"

namespace berth::layers {
namespace {

std::string path_of(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

Result<void> set(int context, const char* key, const std::string& value) {
  const int code = sys::raw_set_parameter(context, key, value.c_str());
  if (code < 0)
    return fail_errno(-code, "mount an EROFS image: {} ({})", key, sys::context_messages(context));
  return {};
}

Result<std::string> small_tar() {
  archive::StringSink sink;
  archive::TarWriter writer(sink);
  archive::TarEntry entry;
  entry.name = "probe";
  entry.mode = 0644;
  entry.size = 5;
  TRY(writer.add(entry));
  TRY(writer.write("berth"));
  TRY(writer.finish());
  return sink.take();
}

Result<void> read_probe(int layer, const std::string& empty) {
  Fd tree = TRY(erofs_driver().open_tree(layer, sha256_of("")));
  const std::vector<std::string> lower{path_of(tree.get()), empty};
  Fd merged = TRY_AS("an overlay on top of it", mount_directories(lower, OverlaySpec{}));
  const std::string text = TRY(read_file_at(merged.get(), "probe"));
  if (text != "berth") return fail(ErrorKind::corrupt, "a file in it reads as something else");
  return {};
}

}  // namespace

Result<Fd> mount_erofs(int image, std::span<const int> devices) {
  const int opened = sys::raw_new_context("erofs");
  if (opened < 0) return fail_errno(-opened, "this kernel has no EROFS");
  Fd context(opened);
  TRY(set(context.get(), "source", path_of(image)));
  for (int device : devices) TRY(set(context.get(), "device", path_of(device)));
  // What a layer's device nodes and setuid bits are worth is decided by the overlay over it.
  const int mount = sys::raw_create_mount(context.get(), MOUNT_ATTR_RDONLY);
  if (mount < 0)
    return fail_errno(-mount, "mount an EROFS image that lies in a file ({})",
                      sys::context_messages(context.get()));
  return Fd(mount);
}

Result<void> probe_erofs(const std::string& directory) {
  Result<void> works = [&]() -> Result<void> {
    TemporaryDirectory temporary = TRY(TemporaryDirectory::create("probe-erofs", directory));
    const std::string empty = temporary.path() + "/empty";
    if (mkdir(empty.c_str(), 0755) != 0) return fail_errno(errno, "create directory {}", empty);
    const std::string layer_path = temporary.path() + "/layer";
    if (mkdir(layer_path.c_str(), 0700) != 0) return fail_errno(errno, "create directory {}", layer_path);
    Fd layer = TRY(open_file(layer_path, O_RDONLY | O_DIRECTORY));
    const std::string tar = TRY(small_tar());
    archive::StringSource source(tar);
    AddOptions options;
    options.sync = false;
    TRY(erofs_driver().make(source, layer.get(), options));
    return read_probe(layer.get(), empty);
  }();
  if (works) return {};
  const bool full = works.error().kind == ErrorKind::exhausted;
  return fail(full ? ErrorKind::exhausted : ErrorKind::unsupported,
              "this machine cannot run containers from EROFS images in {}: {}", directory,
              works.error().message);
}

}  // namespace berth::layers
