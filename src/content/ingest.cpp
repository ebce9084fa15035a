// SPDX-License-Identifier: Apache-2.0
#include "content/ingest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "content/ingest_state.h"

namespace berth::content {
namespace {

std::unexpected<Error> wrong_digest(const std::string& key, const Digest& got, const Digest& expected) {
  return fail(ErrorKind::corrupt, "the content of {} has the digest {} and not {}", key, got.text(),
              expected.text());
}

}  // namespace

Ingest::Ingest(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ingest::Ingest(Ingest&& other) noexcept = default;
Ingest& Ingest::operator=(Ingest&& other) noexcept = default;
Ingest::~Ingest() = default;

const std::string& Ingest::key() const noexcept {
  static const std::string none;
  return state_ ? state_->key : none;
}
std::int64_t Ingest::offset() const noexcept { return state_ ? state_->offset : 0; }

Result<void> Ingest::require_open() const {
  if (!state_) return fail(ErrorKind::conflict, "the ingest is over already");
  return {};
}

Result<void> Ingest::write(std::string_view bytes) {
  TRY(require_open());
  State& state = *state_;
  if (state.hashing == Hashing::while_writing) TRY(hash_up_to_offset());
  std::string_view left = bytes;
  while (!left.empty()) {
    ssize_t put = pwrite(state.file.get(), left.data(), left.size(), state.offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write the content of {}", state.key);
    if (state.hashing == Hashing::while_writing) {
      state.hash.update(left.substr(0, static_cast<std::size_t>(put)));
      state.hashed += put;
    }
    state.offset += put;
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  state.behind.written(state.file.get(), state.offset);
  return {};
}

void Ingest::set_page_cache(PageCache cache) {
  if (state_) state_->behind = WriteBehind(cache, state_->offset);
}

Result<void> Ingest::truncate(std::int64_t size) {
  TRY(require_open());
  State& state = *state_;
  if (size < 0 || size > state.offset)
    return fail(ErrorKind::invalid, "cannot cut {} to {} bytes: it has {}", state.key, size, state.offset);
  if (ftruncate(state.file.get(), size) != 0) return fail_errno(errno, "cut the content of {}", state.key);
  state.offset = size;
  state.behind.truncated(size);
  if (state.hashed > size) {
    state.hash = Sha256();
    state.hashed = 0;
  }
  return {};
}

Result<void> Ingest::hash_up_to_offset() {
  State& state = *state_;
  if (state.hashed == state.offset) return {};
  TRY_AS("read the content of " + state.key,
         hash_range(state.file.get(), state.hashed, state.offset, state.hash));
  state.hashed = state.offset;
  return {};
}

Result<Digest> Ingest::digest() {
  TRY(require_open());
  TRY(hash_up_to_offset());
  State& state = *state_;
  Digest digest = state.hash.finish();
  // A finished hash cannot go on: what comes later is hashed from the start again.
  state.hash = Sha256();
  state.hashed = 0;
  return digest;
}

Result<Fd> Ingest::open_for_reading() const {
  TRY(require_open());
  return open_at(state_->core->ingest.get(), state_->name(), O_RDONLY | O_NOFOLLOW);
}

Result<Pin> Ingest::commit(const Digest& expected, std::optional<std::int64_t> expected_size) {
  TRY(require_open());
  if (expected_size && *expected_size != state_->offset) {
    auto wrong = fail(ErrorKind::corrupt, "the content of {} has {} bytes and not {}", state_->key,
                      state_->offset, *expected_size);
    (void)abandon();
    return wrong;
  }
  Digest got = TRY(digest());
  if (got != expected) {
    auto wrong = wrong_digest(state_->key, got, expected);
    (void)abandon();
    return wrong;
  }
  return commit_verified(expected);
}

Result<Pin> Ingest::commit_verified(const Digest& digest) {
  TRY(require_open());
  // Before the name is there: nobody may remove the blob between its naming and the caller's reference.
  Pin pin(state_->core->pins, digest);
  TRY(state_->core->give_name(state_->file.get(), state_->name(), digest));
  state_.reset();
  return pin;
}

Result<void> Ingest::abandon() {
  TRY(require_open());
  std::unique_ptr<State> state = std::move(state_);
  if (unlinkat(state->core->ingest.get(), state->name().c_str(), 0) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove the partial content of {}", state->key);
  return {};
}

}  // namespace berth::content
