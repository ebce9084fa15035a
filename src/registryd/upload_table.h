// SPDX-License-Identifier: Apache-2.0
// Uploads that go on: found by the id in their URL, one request at a time each. An upload that nobody has
// asked for lately is dropped from memory and stays on the disk, from where the next request resumes it, also
// after a restart: the id says all that is needed, <32 hex digits>-<hash of the repository's name>.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "registryd/api_error.h"
#include "registryd/storage.h"

namespace berth::registryd {

struct UploadLimits {
  std::size_t per_client = 64;                              // uploads in memory of one address
  std::size_t all = 2048;                                   // in memory; each holds a descriptor
  std::chrono::seconds idle = std::chrono::minutes(10);     // then it is dropped from memory
  std::chrono::seconds patience = std::chrono::seconds(5);  // for a request of the same upload to end
};

class UploadTable {
 public:
  struct Session {
    std::timed_mutex busy;
    std::unique_ptr<Upload> upload;  // null once it is over
    std::string client;
    std::chrono::steady_clock::time_point used;  // the table's
  };
  // Exclusive use of one upload. Gives it back when it goes, over or only for now.
  class Use {
   public:
    Use(UploadTable& table, std::string id, std::shared_ptr<Session> session,
        std::unique_lock<std::timed_mutex> lock)
        : table_(&table), id_(std::move(id)), session_(std::move(session)), lock_(std::move(lock)) {}
    Use(Use&&) = default;
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (session_) table_->end(id_, *session_);
    }
    const std::string& id() const noexcept { return id_; }
    Upload& upload() const noexcept { return *session_->upload; }
    void over() noexcept { session_->upload.reset(); }

   private:
    UploadTable* table_;
    std::string id_;
    std::shared_ptr<Session> session_;
    std::unique_lock<std::timed_mutex> lock_;
  };

  explicit UploadTable(Storage& storage, UploadLimits limits = {}) : storage_(storage), limits_(limits) {}

  // `client` is an address without a port.
  ApiResult<Use> begin(std::string_view repository, std::string_view client);
  ApiResult<Use> find(std::string_view repository, std::string_view id, std::string_view client);

  std::size_t size() const;
  void drop_idle();

 private:
  void end(const std::string& id, Session& session) noexcept;
  ApiResult<void> make_room(std::string_view client);  // with the mutex held
  ApiResult<Use> add(std::string id, std::unique_ptr<Upload> upload, std::string_view client);

  Storage& storage_;
  const UploadLimits limits_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions_;
};

}  // namespace berth::registryd
