// SPDX-License-Identifier: Apache-2.0
// Tar: whatever the bytes are, the observer sees each of them once and in order, and unpacking, in each of
// the three ways with whiteouts, touches nothing beside its root.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "archive/tar.h"
#include "archive/unpack.h"
#include "base/fd.h"
#include "base/file.h"
#include "sys/remove_deep_tree.h"
#include "tar_checksums.h"

namespace {

using namespace berth;
using namespace berth::archive;

void require(bool condition) {
  if (!condition) std::abort();
}

class Recorder final : public TarObserver {
 public:
  Result<void> framing(std::string_view bytes) override {
    seen.append(bytes);
    return {};
  }
  Result<void> content(std::string_view bytes) override { return framing(bytes); }
  std::string seen;
};

void read_only(const std::string& tar) {
  StringSource source(tar);
  Recorder recorder;
  TarReader reader(source, &recorder);
  TarEntry entry;
  Result<bool> more = true;
  while ((more = reader.next(entry)) && *more) {
    require(!entry.name.empty() && entry.name.find('\0') == std::string::npos);
    require(entry.type == TarType::regular || entry.size == 0);
    std::uint64_t end = 0;
    Result<TarChunk> chunk = TarChunk{};
    while ((chunk = reader.read()) && !chunk->data.empty()) {
      require(chunk->offset >= end);
      end = chunk->offset + chunk->data.size();
      require(end <= entry.size);
    }
  }
  if (more && reader.drain()) require(recorder.seen == tar);
  require(tar.starts_with(recorder.seen));
}

struct Place {
  TemporaryDirectory temporary = TemporaryDirectory::create("fuzz", "/dev/shm").value();
  Fd directory = open_file(temporary.path(), O_RDONLY | O_DIRECTORY).value();
};

void unpack_below(Place& place, const std::string& tar, Whiteouts whiteouts) {
  require(mkdirat(place.directory.get(), "root", 0755) == 0);
  {
    Fd root = open_at(place.directory.get(), "root", O_PATH | O_DIRECTORY).value();
    StringSource source(tar);
    UnpackOptions options;
    options.whiteouts = whiteouts;
    options.max_bytes = 1u << 20;
    options.max_entries = 1000;
    (void)unpack(source, root.get(), options);
  }
  require(list_directory(place.temporary.path()).value() == std::vector<std::string>{"root"});
  require(sys::remove_deep_tree(place.directory.get(), "root").has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Place place;
  std::string tar(reinterpret_cast<const char*>(data), size);
  berth::fuzz::correct_checksums(tar);
  read_only(tar);
  for (Whiteouts whiteouts : {Whiteouts::overlay, Whiteouts::apply, Whiteouts::plain})
    unpack_below(place, tar, whiteouts);
  return 0;
}
