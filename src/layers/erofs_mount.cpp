// SPDX-License-Identifier: Apache-2.0
#include "layers/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "archive/tar.h"
#include "base/file.h"
#include "base/log.h"
#include "layers/layer_driver.h"
#include "layers/layer_mounts.h"
#include "layers/overlay.h"
#include "sys/loop_device.h"
#include "sys/mounts.h"

namespace berth::layers {
namespace {

constexpr std::string_view kProbe = "probe-erofs";

std::string path_of(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

Result<void> set(int context, const char* key, const std::string& value) {
  const int code = sys::raw_set_parameter(context, key, value.c_str());
  if (code < 0)
    return fail_errno(-code, "mount an EROFS image: {} ({})", key, sys::context_messages(context));
  return {};
}

// Or it would open a block device for writing.
Result<void> set_read_only(int context) {
  if (const int code = sys::raw_set_parameter(context, "ro", nullptr); code < 0)
    return fail_errno(-code, "mount an EROFS image read-only ({})", sys::context_messages(context));
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

// What the kernel says of a source that is no block device.
bool wants_block_devices(const Error& error) { return error.code == ENOTBLK; }

Result<void> read_probe(const std::string& layer, const std::string& empty) {
  const std::string lower[] = {layer, empty};
  Fd merged = TRY_AS("an overlay on top of it", mount_directories(lower, OverlaySpec{}));
  const std::string text = TRY(read_file_at(merged.get(), "probe"));
  if (text != "berth") return fail(ErrorKind::corrupt, "a file in it reads as something else");
  return {};
}

Result<void> probe_in(const std::string& directory) {
  const std::string empty = directory + kEmptyDirectory;
  if (mkdir(empty.c_str(), 0755) != 0) return fail_errno(errno, "create directory {}", empty);
  const std::string layer_path = directory + "/layer";
  if (mkdir(layer_path.c_str(), 0700) != 0) return fail_errno(errno, "create directory {}", layer_path);
  Fd layer = TRY(open_file(layer_path, O_RDONLY | O_DIRECTORY));
  const std::string tar = TRY(small_tar());
  archive::StringSource source(tar);
  AddOptions options;
  options.sync = false;
  const MadeLayer made = TRY(erofs_driver().make(source, layer.get(), options));
  LayerMounts mounts(directory);
  const LowerDirectory lower = TRY(mounts.get(erofs_driver(), layer.get(), made.diff_id));
  Result<void> read = read_probe(lower.path, empty);
  mounts.detach_all();
  return read;
}

}  // namespace

Result<Fd> mount_erofs_from(ErofsBacking backing, int image, std::span<const int> devices) {
  const int opened = sys::raw_new_context("erofs");
  if (opened < 0) return fail_errno(-opened, "this kernel has no EROFS");
  Fd context(opened);
  TRY(set_read_only(context.get()));
  std::vector<Fd> loops;  // until the mount holds them
  auto give = [&](const char* key, int file) -> Result<void> {
    if (backing == ErofsBacking::files) return set(context.get(), key, path_of(file));
    loops.push_back(TRY(sys::attach_loop_device(file)));
    return set(context.get(), key, path_of(loops.back().get()));
  };
  TRY(give("source", image));
  for (int device : devices) TRY(give("device", device));
  // What a layer's device nodes and setuid bits are worth is decided by the overlay over it.
  const int mount = sys::raw_create_mount(context.get(), MOUNT_ATTR_RDONLY);
  if (mount < 0)
    return fail_errno(-mount, "mount an EROFS image {} ({})",
                      backing == ErofsBacking::files ? "that lies in a file" : "through loop devices",
                      sys::context_messages(context.get()));
  return Fd(mount);
}

Result<Fd> mount_erofs(int image, std::span<const int> devices) {
  Result<Fd> mounted = mount_erofs_from(ErofsBacking::files, image, devices);
  if (mounted || !wants_block_devices(mounted.error())) return mounted;
  return mount_erofs_from(ErofsBacking::loop_devices, image, devices);
}

Result<void> probe_erofs(const std::string& directory) {
  Result<void> works = [&]() -> Result<void> {
    TemporaryDirectory temporary = TRY(TemporaryDirectory::create(kProbe, directory));
    return probe_in(temporary.path());
  }();
  if (works) return {};
  const bool full = works.error().kind == ErrorKind::exhausted;
  return fail(full ? ErrorKind::exhausted : ErrorKind::unsupported,
              "this machine cannot run containers from EROFS images in {}: {}", directory,
              works.error().message);
}

void sweep_probes(const std::string& directory) {
  const Result<std::vector<std::string>> names = list_directory(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(std::string(kProbe) + ".")) continue;
    LayerMounts(directory + "/" + name).detach_all();
    if (Result<void> gone = remove_tree(directory + "/" + name); !gone)
      log_warning("layers", "what a probe left behind stays: {}", gone.error().message);
  }
}

}  // namespace berth::layers
