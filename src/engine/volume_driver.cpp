// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <memory>

#include "base/file.h"
#include "base/text.h"

namespace berth::engine {
namespace {

std::string option(const VolumeOptions& options, const std::string& name) {
  auto found = options.find(name);
  return found == options.end() ? std::string() : found->second;
}

Result<sys::MountOptions> mount_options(const VolumeOptions& options) {
  const std::string text = option(options, "o");
  std::vector<std::string> words;
  for (std::string_view word : split(text, ',')) words.emplace_back(word);
  return sys::parse_mount_options(words);
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  return inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1;
}

Result<std::string> address_of(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(name.c_str(), nullptr, &hints, &found); code != 0)
    return fail(ErrorKind::unavailable, "cannot find the address of {}: {}", name, gai_strerror(code));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  std::array<char, NI_MAXHOST> text{};
  if (const int code = getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(), nullptr, 0,
                                   NI_NUMERICHOST);
      code != 0)
    return fail(ErrorKind::unavailable, "cannot find the address of {}: {}", name, gai_strerror(code));
  return std::string(text.data());
}

Result<void> set_attributes(int mount, const sys::MountOptions& options) {
  if (options.set || options.clear)
    TRY(sys::set_mount_attributes(mount, options.set, options.clear, 0, false));
  if (options.recursive_set || options.recursive_clear)
    TRY(sys::set_mount_attributes(mount, options.recursive_set, options.recursive_clear, 0, true));
  return {};
}

// A clone of a shared mount is its peer: what is unmounted below the one is unmounted below the other, so
// that taking the volume off its directory would take the host's own mounts away. A slave hears of the host's
// mounts and tells it nothing.
Result<void> part_from_original(int tree) { return sys::set_mount_attributes(tree, 0, 0, MS_SLAVE, true); }

Result<Fd> new_file_system(const VolumeMount& mount) {
  const int opened = sys::raw_new_context(mount.type.c_str());
  if (opened < 0) return fail_errno(-opened, "this kernel has no file system \"{}\"", mount.type);
  Fd context(opened);
  auto refused = [&](int code, const std::string& what) {
    const std::string words = sys::context_messages(context.get());
    return fail_errno(-code, "{}{}", what, words.empty() ? "" : " (" + words + ")");
  };
  if (!mount.device.empty())
    if (int code = sys::raw_set_parameter(context.get(), "source", mount.device.c_str()); code < 0)
      return refused(code, "take the device " + mount.device);
  for (const sys::MountOptions::Parameter& one : mount.options.parameters)
    if (int code =
            sys::raw_set_parameter(context.get(), one.key.c_str(), one.flag ? nullptr : one.value.c_str());
        code < 0)
      return refused(code, "take the option " + one.key);
  // A mount that is read-only does not make its file system so: a disk that cannot be written is refused
  // without this, and one that can is written to by its journal.
  if ((mount.options.set & MOUNT_ATTR_RDONLY) != 0)
    if (int code = sys::raw_set_parameter(context.get(), "ro", nullptr); code < 0)
      return refused(code, "take the option ro");
  const int made = sys::raw_create_mount(context.get(), mount.options.set);
  if (made < 0) return refused(made, "mount " + mount.device);
  return Fd(made);
}

}  // namespace

Result<void> check_volume_options(const VolumeOptions& options) {
  for (const auto& [name, value] : options) {
    if (name == "size")
      return fail(ErrorKind::unsupported,
                  "the option \"size\" needs disk quotas, which this driver does not set: a size holds for "
                  "type=tmpfs, device=tmpfs, o=size=...");
    if (name != "type" && name != "device" && name != "o")
      return fail(ErrorKind::invalid, "invalid option: \"{}\": the driver local knows type, device and o",
                  name);
    if (value.find('\0') != std::string::npos)
      return fail(ErrorKind::invalid, "the option \"{}\" holds a NUL byte", name);
  }
  if (options.empty()) return {};
  for (const char* needed : {"device", "type"})
    if (option(options, needed).empty())
      return fail(ErrorKind::invalid, "missing required option: \"{}\"", needed);
  sys::MountOptions parsed = TRY(mount_options(options));
  if (parsed.bind && option(options, "device").front() != '/')
    return fail(ErrorKind::invalid, "the device \"{}\" of a bind is not an absolute path",
                option(options, "device"));
  return {};
}

Result<VolumeMount> plan_volume_mount(const VolumeOptions& options, const NameResolver& resolve) {
  VolumeMount mount{option(options, "type"), option(options, "device"), {}};
  mount.options = TRY(mount_options(options));
  // The kernel knows no names, and mount.nfs, which would ask for them, is not part of this.
  for (sys::MountOptions::Parameter& one : mount.options.parameters)
    if (one.key == "addr" && !is_address(one.value)) one.value = TRY(resolve(one.value));
  return mount;
}

Result<void> mount_volume(const VolumeOptions& options, const std::string& directory) {
  VolumeMount mount = TRY(plan_volume_mount(options, address_of));
  Fd target = TRY(open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  const bool change_first = sys::can_change_detached_mounts();
  Fd tree;
  if (mount.options.bind) {
    tree = TRY(sys::clone_mount(mount.device, mount.options.recursive));
    if (change_first) {
      TRY(part_from_original(tree.get()));
      TRY(set_attributes(tree.get(), mount.options));
    }
  } else {
    tree = TRY(new_file_system(mount));
  }
  if (const int code = sys::raw_attach(tree.get(), target.get()); code < 0)
    return fail_errno(-code, "mount {} on {}", mount.device, directory);
  auto finish = [&]() -> Result<void> {
    if (mount.options.bind && !change_first) {
      TRY(part_from_original(tree.get()));
      TRY(set_attributes(tree.get(), mount.options));
    }
    if (mount.options.propagation)
      TRY(sys::set_mount_attributes(tree.get(), 0, 0, mount.options.propagation,
                                    mount.options.propagation_recursive));
    return {};
  };
  Result<void> finished = finish();
  if (!finished) (void)unmount_volume(directory);
  return finished;
}

Result<void> unmount_volume(const std::string& directory) {
  if (umount2(directory.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
    return fail_errno(errno, "unmount {}", directory);
  return {};
}

}  // namespace berth::engine
