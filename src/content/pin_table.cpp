// SPDX-License-Identifier: Apache-2.0
#include "content/pin_table.h"

#include "content/pin.h"

namespace berth::content {

void PinTable::add(const Digest& digest) {
  std::unique_lock lock(mutex_);
  removed_.wait(lock, [&] { return !being_removed_.contains(digest.text()); });
  ++pins_[digest.text()];
}

void PinTable::drop(const Digest& digest) noexcept {
  std::lock_guard lock(mutex_);
  auto found = pins_.find(digest.text());
  if (found != pins_.end() && --found->second == 0) pins_.erase(found);
}

Result<bool> PinTable::while_unpinned(const Digest& digest, const std::function<Result<bool>()>& removal) {
  struct Mark {
    PinTable& table;
    const std::string& text;
    ~Mark() {
      std::lock_guard lock(table.mutex_);
      table.being_removed_.erase(text);
      table.removed_.notify_all();
    }
  };
  {
    std::unique_lock lock(mutex_);
    removed_.wait(lock, [&] { return !being_removed_.contains(digest.text()); });
    if (pins_.contains(digest.text())) return false;
    being_removed_.insert(digest.text());
  }
  Mark mark{*this, digest.text()};
  return removal();
}

Pin::Pin(std::shared_ptr<PinTable> table, const Digest& digest) : table_(std::move(table)), digest_(digest) {
  table_->add(digest_);
}

Pin::~Pin() {
  if (table_) table_->drop(digest_);
}

}  // namespace berth::content
