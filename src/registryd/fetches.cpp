// SPDX-License-Identifier: Apache-2.0
#include "registryd/fetches.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kKeyPrefix = "proxy-";  // no upload of a client begins so

// What a fetch that was cut off has left is not gone on with: its owner is gone, and its bytes were not
// synced.
Result<std::unique_ptr<Upload>> begin_anew(Storage& storage, const std::string& key) {
  std::unique_ptr<Upload> upload = TRY(storage.begin_upload(key));
  if (upload->offset() == 0) return upload;
  TRY(upload->abandon());
  return storage.begin_upload(key);
}

}  // namespace

Fetch::Progress Fetch::progress_locked() const {
  Progress seen = state_;
  if (!seen.ended && seen.ready > 0) --seen.ready;
  return seen;
}

Fetch::Progress Fetch::progress() const {
  std::lock_guard lock(mutex_);
  return progress_locked();
}

Fetch::Progress Fetch::wait_for_more(const Progress& known, std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] {
    const Progress now = progress_locked();
    return now.begun != known.begun || now.ended != known.ended || now.ready != known.ready;
  });
  return progress_locked();
}

Result<std::size_t> Fetch::read(std::int64_t offset, std::span<char> buffer) const {
  for (;;) {
    const ssize_t got = pread(file_.get(), buffer.data(), buffer.size(), offset);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return fail(ErrorKind::corrupt, "the file of {} is shorter than it was", digest.text());
    if (errno != EINTR) return fail_errno(errno, "read the file of {}", digest.text());
  }
}

Result<void> Fetch::get(Storage& storage, Catalog& catalog, Upstream& upstream, const std::stop_token& stop) {
  const std::string key = fmt::format("{}{}-{}", kKeyPrefix, digest.hex(), sha256_of(repository).short_hex());
  std::unique_ptr<Upload> upload = TRY(begin_anew(storage, key));
  file_ = TRY(upload->open_for_reading());
  const Upstream::Receiver receiver{.begin =
                                        [this](std::optional<std::uint64_t> size) {
                                          std::lock_guard lock(mutex_);
                                          state_.begun = true;
                                          if (size) state_.size = static_cast<std::int64_t>(*size);
                                          changed_.notify_all();
                                        },
                                    .write = [this, &upload](std::string_view bytes) -> Result<void> {
                                      TRY(upload->write(bytes));
                                      std::lock_guard lock(mutex_);
                                      state_.ready = upload->offset();
                                      changed_.notify_all();
                                      return {};
                                    }};
  Result<void> got = upstream.blob(repository, digest, receiver, stop);
  if (!got) {
    (void)upload->abandon();
    return got;
  }
  const std::int64_t size = upload->offset();
  Result<Hold> hold = upload->commit(digest);
  if (!hold) {
    (void)upload->abandon();
    return std::unexpected(std::move(hold).error());
  }
  return catalog.link(repository, digest, size);
}

void Fetch::run(Storage& storage, Catalog& catalog, Upstream& upstream, const std::stop_token& stop) {
  Result<void> got = get(storage, catalog, upstream, stop);
  if (!got && got.error().kind != ErrorKind::not_found)
    log_warning("registry", "the blob {} of {} did not come: {}", digest.text(), repository,
                got.error().message);
  std::lock_guard lock(mutex_);
  state_.ended = true;
  if (got)
    state_.size = state_.ready;
  else
    state_.failure = std::move(got).error();
  changed_.notify_all();
}

Result<std::size_t> Fetches::sweep(Storage& storage) { return storage.abandon_uploads(kKeyPrefix); }

std::shared_ptr<const Fetch> Fetches::find_locked(const std::string& repository, const Digest& digest) const {
  for (const Running& each : running_)
    if (each.fetch->digest == digest && each.fetch->repository == repository && !each.fetch->progress().ended)
      return each.fetch;
  return nullptr;
}

std::shared_ptr<const Fetch> Fetches::find(const std::string& repository, const Digest& digest) {
  std::lock_guard lock(mutex_);
  return find_locked(repository, digest);
}

Result<std::shared_ptr<const Fetch>> Fetches::join(const std::string& repository, const Digest& digest) {
  for (Running& ended : take_ended()) ended.thread.join();
  std::lock_guard lock(mutex_);
  if (std::shared_ptr<const Fetch> found = find_locked(repository, digest)) return found;
  // One that ended after the caller looked into the catalog has written there before it ended.
  if (TRY(catalog_.linked_size(repository, digest))) return nullptr;
  if (stop_.stop_requested()) return fail(ErrorKind::unavailable, "the registry is stopping");
  if (running_.size() >= kMost)
    return fail(ErrorKind::exhausted, "{} blobs are being fetched already", running_.size());
  auto fetch = std::make_shared<Fetch>(repository, digest);
  std::thread thread(
      [this, fetch, stop = stop_.get_token()] { fetch->run(storage_, catalog_, upstream_, stop); });
  running_.push_back({fetch, std::move(thread)});
  return fetch;
}

std::list<Fetches::Running> Fetches::take_ended() {
  std::list<Running> ended;
  std::lock_guard lock(mutex_);
  for (auto each = running_.begin(); each != running_.end();) {
    const auto next = std::next(each);
    if (each->fetch->progress().ended) ended.splice(ended.end(), running_, each);
    each = next;
  }
  return ended;
}

void Fetches::stop() {
  std::list<Running> all;
  {
    std::lock_guard lock(mutex_);
    stop_.request_stop();
    all.swap(running_);
  }
  for (Running& each : all) each.thread.join();
}

}  // namespace berth::registryd
