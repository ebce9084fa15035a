// SPDX-License-Identifier: Apache-2.0
#include "content/blob_store.h"
#include "registryd/storage.h"

namespace berth::registryd {
namespace {

Hold hold_of(content::Pin pin) { return std::make_shared<const content::Pin>(std::move(pin)); }

class FileUpload final : public Upload {
 public:
  explicit FileUpload(content::Ingest ingest) : ingest_(std::move(ingest)) {}
  std::int64_t offset() const override { return ingest_.offset(); }
  Result<void> write(std::string_view bytes) override { return ingest_.write(bytes); }
  Result<Fd> open_for_reading() const override { return ingest_.open_for_reading(); }
  Result<Hold> commit(const Digest& digest) override {
    content::Pin pin = TRY(ingest_.commit(digest));
    return hold_of(std::move(pin));
  }
  Result<void> abandon() override { return ingest_.abandon(); }

 private:
  content::Ingest ingest_;
};

class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::unique_ptr<content::BlobStore> store) : store_(std::move(store)) {}

  Result<std::int64_t> size(const Digest& digest) override { return store_->size(digest); }
  Result<Blob> open(const Digest& digest) override {
    const std::int64_t size = TRY(store_->size(digest));
    Fd file = TRY(store_->open_blob(digest));
    return Blob{std::move(file), size};
  }
  Result<std::string> read(const Digest& digest, std::size_t limit) override {
    return store_->read(digest, limit);
  }
  Result<Hold> put(std::string_view bytes) override {
    content::Pin pin = TRY(store_->put(bytes));
    return hold_of(std::move(pin));
  }
  Hold hold(const Digest& digest) override {
    std::optional<content::Pin> pin = store_->pin_if_present(digest);
    return pin ? hold_of(std::move(*pin)) : nullptr;
  }
  Result<void> set_aside(const Digest& digest) override { return store_->set_aside(digest); }

  Result<std::unique_ptr<Upload>> begin_upload(const std::string& key) override {
    return upload_of(store_->begin_ingest(key));
  }
  Result<std::unique_ptr<Upload>> resume_upload(const std::string& key) override {
    return upload_of(store_->resume_ingest(key));
  }
  Result<std::size_t> sweep_uploads(std::chrono::seconds age) override { return store_->sweep_ingests(age); }

  Result<std::size_t> abandon_uploads(std::string_view prefix) override {
    std::size_t abandoned = 0;
    const std::vector<content::IngestInfo> ingests = TRY(store_->ingests());
    for (const content::IngestInfo& info : ingests) {
      if (info.open || !info.key.starts_with(prefix)) continue;
      content::Ingest ingest = TRY(store_->resume_ingest(info.key));
      TRY(ingest.abandon());
      ++abandoned;
    }
    return abandoned;
  }

  Result<std::vector<Entry>> list() override {
    const std::vector<content::BlobInfo> blobs = TRY(store_->list());
    std::vector<Entry> entries;
    entries.reserve(blobs.size());
    for (const content::BlobInfo& blob : blobs) entries.push_back({blob.digest, blob.size});
    return entries;
  }
  Result<bool> remove_unless(const Digest& digest, const std::function<Result<bool>()>& is_needed) override {
    return store_->remove_unless(digest, is_needed);
  }

 private:
  static Result<std::unique_ptr<Upload>> upload_of(Result<content::Ingest> ingest) {
    if (!ingest) return std::unexpected(std::move(ingest).error());
    return std::make_unique<FileUpload>(std::move(*ingest));
  }
  std::unique_ptr<content::BlobStore> store_;
};

}  // namespace

Result<std::unique_ptr<Storage>> open_file_storage(const std::string& directory,
                                                   std::chrono::milliseconds patience) {
  std::unique_ptr<content::BlobStore> store = TRY(content::BlobStore::open(directory, patience));
  return std::make_unique<FileStorage>(std::move(store));
}

}  // namespace berth::registryd
