// SPDX-License-Identifier: Apache-2.0
#include "content/blob_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"
#include "content/ingest_state.h"
#include "content/store_core.h"

namespace berth::content {
namespace {

constexpr std::size_t kKeyLimit = 128;
constexpr auto kLockPoll = std::chrono::milliseconds(20);
constexpr std::size_t kReadSize = 256u << 10;

Timestamp time_of(const timespec& time) { return {time.tv_sec * 1'000'000'000 + time.tv_nsec}; }

Result<void> check_key(std::string_view key) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (key.empty() || key.size() > kKeyLimit || !std::ranges::all_of(key, allowed))
    return fail(ErrorKind::invalid, "'{}' is not the key of an ingest: 1 to {} of A-Z a-z 0-9 . _ -",
                key.substr(0, kKeyLimit), kKeyLimit);
  return {};
}

Result<Fd> open_lock(const std::string& directory, std::chrono::milliseconds patience) {
  Fd lock = TRY(open_file(directory + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock {}", directory);
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(ErrorKind::conflict, "the blobs in {} are in use by another process", directory);
    std::this_thread::sleep_for(kLockPoll);
  }
  return lock;
}

Result<Fd> make_and_open(const std::string& path) {
  TRY(make_directories(path, 0700));
  return open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// What put() was writing when an earlier process died.
void sweep_puts(const StoreCore& core) {
  Result<std::vector<std::string>> names = list_directory(core.path + "/ingest");
  if (!names) return;
  for (const std::string& name : *names)
    if (name.ends_with(kPutSuffix)) unlinkat(core.ingest.get(), name.c_str(), 0);
}

std::unexpected<Error> no_such_blob(const Digest& digest) {
  return fail(ErrorKind::not_found, "there is no blob {}", digest.text());
}

}  // namespace

Result<void> hash_range(int file, std::int64_t begin, std::int64_t end, Sha256& hash) {
  Buffer buffer(kReadSize);
  while (begin < end) {
    std::size_t want = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - begin));
    ssize_t got = pread(file, buffer.data(), want, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read");
    if (got == 0) return fail(ErrorKind::corrupt, "the file is {} bytes shorter than it was", end - begin);
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    begin += got;
  }
  return {};
}

Result<void> StoreCore::give_name(int file, const std::string& name, const Digest& digest) {
  if (fdatasync(file) != 0) return fail_errno(errno, "sync the content of {}", digest.text());
  if (renameat(ingest.get(), name.c_str(), blobs.get(), digest.hex().c_str()) != 0)
    return fail_errno(errno, "name the blob {}", digest.text());
  // The ingest directory needs no sync: should the old name come back, it is a partial ingest again.
  return sync_directory(blobs.get());
}

void StoreCore::close_ingest(const std::string& key) {
  std::lock_guard guard(mutex);
  open_ingests.erase(key);
}

BlobStore::BlobStore(std::shared_ptr<StoreCore> core) : core_(std::move(core)) {}
BlobStore::~BlobStore() = default;

Result<std::unique_ptr<BlobStore>> BlobStore::open(const std::string& directory,
                                                   std::chrono::milliseconds patience) {
  auto core = std::make_shared<StoreCore>();
  core->path = directory;
  Fd top = TRY(make_and_open(directory));
  core->lock = TRY(open_lock(directory, patience));
  core->blobs = TRY(make_and_open(directory + "/sha256"));
  core->ingest = TRY(make_and_open(directory + "/ingest"));
  core->damaged = TRY(make_and_open(directory + "/damaged"));
  TRY(sync_directory(top.get()));
  sweep_puts(*core);
  return std::unique_ptr<BlobStore>(new BlobStore(std::move(core)));
}

// ---- reading

bool BlobStore::has(const Digest& digest) const noexcept { return size(digest).has_value(); }

Result<std::int64_t> BlobStore::size(const Digest& digest) const {
  struct stat info;
  if (fstatat(core_->blobs.get(), digest.hex().c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return no_such_blob(digest);
    return fail_errno(errno, "inspect the blob {}", digest.text());
  }
  return info.st_size;
}

Result<Fd> BlobStore::open_blob(const Digest& digest) const {
  Result<Fd> file = open_at(core_->blobs.get(), digest.hex(), O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().code == ENOENT) return no_such_blob(digest);
  return file;
}

Result<std::string> BlobStore::read(const Digest& digest, std::size_t limit) const {
  Fd file = TRY(open_blob(digest));
  return TRY_AS("read the blob " + digest.text(), read_to_end(file.get(), limit));
}

Result<std::vector<BlobInfo>> BlobStore::list() const {
  std::vector<BlobInfo> blobs;
  for (const std::string& name : TRY(list_directory(core_->path + "/sha256"))) {
    Result<Digest> digest = Digest::parse("sha256:" + name);
    struct stat info;
    if (!digest || fstatat(core_->blobs.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    blobs.push_back({std::move(*digest), info.st_size, time_of(info.st_ctim)});
  }
  return blobs;
}

Result<void> BlobStore::verify(const Digest& digest) const {
  Fd file = TRY(open_blob(digest));
  struct stat info;
  if (fstat(file.get(), &info) != 0) return fail_errno(errno, "inspect the blob {}", digest.text());
  Sha256 hash;
  TRY_AS("the blob " + digest.text(), hash_range(file.get(), 0, info.st_size, hash));
  if (Digest got = hash.finish(); got != digest)
    return fail(ErrorKind::corrupt, "the blob {} is damaged: its content has the digest {}", digest.text(),
                got.text());
  return {};
}

// ---- writing

Result<Pin> BlobStore::put(std::string_view bytes) {
  static std::atomic<std::uint64_t> counter{0};
  Digest digest = sha256_of(bytes);
  if (std::optional<Pin> there = pin_if_present(digest)) return std::move(*there);
  const std::string name =
      std::to_string(counter.fetch_add(1, std::memory_order_relaxed)) + std::string(kPutSuffix);
  Pin pin(core_->pins, digest);
  Fd file = TRY(open_at(core_->ingest.get(), name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  Result<void> done = write_all(file.get(), bytes);
  if (done) done = core_->give_name(file.get(), name, digest);
  if (!done) {
    unlinkat(core_->ingest.get(), name.c_str(), 0);
    return std::unexpected(std::move(done).error().within("store a document"));
  }
  return pin;
}

Result<Ingest> BlobStore::open_ingest(const std::string& key, Hashing hashing, bool create) {
  TRY(check_key(key));
  {
    std::lock_guard guard(core_->mutex);
    if (!core_->open_ingests.insert(key).second)
      return fail(ErrorKind::conflict, "{} is being written already", key);
  }
  // From here on the state's destructor gives the key back.
  auto state = std::make_unique<Ingest::State>();
  state->core = core_;
  state->key = key;
  state->hashing = hashing;
  const int flags = O_RDWR | O_NOFOLLOW | (create ? O_CREAT : 0);
  Result<Fd> file = open_at(core_->ingest.get(), state->name(), flags, 0600);
  if (!file && file.error().code == ENOENT)
    return fail(ErrorKind::not_found, "there is no partial content {}", key);
  if (!file) return std::unexpected(std::move(file).error());
  state->file = std::move(*file);
  struct stat info;
  if (fstat(state->file.get(), &info) != 0) return fail_errno(errno, "inspect the partial content {}", key);
  state->offset = info.st_size;
  state->behind = WriteBehind(PageCache::keep, info.st_size);
  return Ingest(std::move(state));
}

Result<Ingest> BlobStore::begin_ingest(const std::string& key, Hashing hashing) {
  return open_ingest(key, hashing, true);
}

Result<Ingest> BlobStore::resume_ingest(const std::string& key, Hashing hashing) {
  return open_ingest(key, hashing, false);
}

Result<std::vector<IngestInfo>> BlobStore::ingests() const {
  std::vector<IngestInfo> found;
  for (const std::string& name : TRY(list_directory(core_->path + "/ingest"))) {
    struct stat info;
    if (!name.ends_with(kPartialSuffix)) continue;
    if (fstatat(core_->ingest.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    std::string key = name.substr(0, name.size() - kPartialSuffix.size());
    std::lock_guard guard(core_->mutex);
    const bool open = core_->open_ingests.contains(key);
    found.push_back({std::move(key), info.st_size, time_of(info.st_mtim), open});
  }
  return found;
}

Result<std::size_t> BlobStore::sweep_ingests(std::chrono::seconds age) {
  const std::int64_t youngest = now().nanoseconds - std::chrono::nanoseconds(age).count();
  std::size_t swept = 0;
  for (const IngestInfo& info : TRY(ingests())) {
    if (info.open || info.written_at.nanoseconds > youngest) continue;
    Result<Ingest> ingest = resume_ingest(info.key, Hashing::by_caller);
    if (!ingest) continue;  // taken up, or gone, since it was listed
    TRY(ingest->abandon());
    ++swept;
  }
  return swept;
}

// ---- pins and removal

Pin BlobStore::pin(const Digest& digest) { return Pin(core_->pins, digest); }

std::optional<Pin> BlobStore::pin_if_present(const Digest& digest) {
  Pin pin(core_->pins, digest);
  if (!has(digest)) return std::nullopt;
  return pin;
}

Result<bool> BlobStore::remove(const Digest& digest) {
  return remove_unless(digest, [] { return Result<bool>(false); });
}

Result<bool> BlobStore::remove_unless(const Digest& digest, const std::function<Result<bool>()>& is_needed) {
  return core_->pins->while_unpinned(digest, [&]() -> Result<bool> {
    if (TRY(is_needed())) return false;
    if (unlinkat(core_->blobs.get(), digest.hex().c_str(), 0) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove the blob {}", digest.text());
    return true;
  });
}

Result<void> BlobStore::set_aside(const Digest& digest) {
  const std::string target = fmt::format("{}.{}", digest.hex(), now().nanoseconds);
  if (renameat(core_->blobs.get(), digest.hex().c_str(), core_->damaged.get(), target.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "set the blob {} aside", digest.text());
  }
  log_warning("content", "the damaged blob {} is kept as {}/damaged/{}", digest.text(), core_->path, target);
  TRY(sync_directory(core_->damaged.get()));
  return sync_directory(core_->blobs.get());
}

}  // namespace berth::content
