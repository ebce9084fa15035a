// SPDX-License-Identifier: Apache-2.0
// A tar that becomes a layer is given back bit by bit; one that does not leaves nothing.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file.h"
#include "layers/layer_store.h"
#include "tar_checksums.h"

namespace {

using namespace berth;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Store {
  TemporaryDirectory temporary = TemporaryDirectory::create("fuzz", "/dev/shm").value();
  layers::LayerStore layers = layers::LayerStore::open(temporary.path() + "/layers").value();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Store store;
  std::string tar(reinterpret_cast<const char*>(data), size);
  berth::fuzz::correct_checksums(tar);
  archive::StringSource source(tar);
  layers::AddOptions options;
  options.sync = false;
  options.max_bytes = 1u << 20;
  options.max_entries = 1000;
  Result<layers::Layer> layer = store.layers.add(source, options);
  if (layer) {
    require(layer->diff_id == sha256_of(tar));
    require(store.layers.verify(layer->diff_id).has_value());
    require(store.layers.remove(layer->diff_id).has_value());
  }
  require(store.layers.list().value().empty());
  require(list_directory(store.temporary.path() + "/layers/.staging").value().empty());
  require(list_directory(store.temporary.path()).value().size() == 1);
  return 0;
}
