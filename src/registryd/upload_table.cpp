// SPDX-License-Identifier: Apache-2.0
#include "registryd/upload_table.h"

#include <algorithm>

#include "base/text.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kRandomLength = 32, kHashLength = 16;

std::string tail_of(std::string_view repository) {
  return sha256_of(repository).hex().substr(0, kHashLength);
}

bool belongs(std::string_view id, std::string_view repository) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return id.size() == kRandomLength + 1 + kHashLength &&
         std::ranges::all_of(id.substr(0, kRandomLength), hex) && id[kRandomLength] == '-' &&
         id.substr(kRandomLength + 1) == tail_of(repository);
}

std::unexpected<ApiError> unknown(std::string_view id) {
  return refuse(Code::blob_upload_unknown, "there is no such upload: it is over, or was never begun",
                std::string(id));
}

}  // namespace

ApiResult<void> UploadTable::make_room(std::string_view client) {
  const auto idle_since = std::chrono::steady_clock::now() - limits_.idle;
  std::erase_if(sessions_, [&](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->used < idle_since;
  });
  const auto of_client = static_cast<std::size_t>(
      std::ranges::count_if(sessions_, [&](const auto& entry) { return entry.second->client == client; }));
  if (of_client >= limits_.per_client)
    return refuse(Code::too_many_requests,
                  fmt::format("{} uploads are going on from this address; finish or cancel some", of_client));
  if (sessions_.size() >= limits_.all)
    return refuse(Code::too_many_requests, "too many uploads are going on; try again later");
  return {};
}

ApiResult<UploadTable::Use> UploadTable::add(std::string id, std::unique_ptr<Upload> upload,
                                             std::string_view client) {
  auto session = std::make_shared<Session>();
  session->upload = std::move(upload);
  session->client = client;
  session->used = std::chrono::steady_clock::now();
  std::unique_lock lock(session->busy);
  sessions_.emplace(id, session);
  return Use(*this, std::move(id), std::move(session), std::move(lock));
}

ApiResult<UploadTable::Use> UploadTable::begin(std::string_view repository, std::string_view client) {
  std::string id = random_identifier().substr(0, kRandomLength) + "-" + tail_of(repository);
  std::lock_guard guard(mutex_);
  API_TRY(make_room(client));
  std::unique_ptr<Upload> upload = API_TRY(storage_.begin_upload(id));
  return add(std::move(id), std::move(upload), client);
}

ApiResult<UploadTable::Use> UploadTable::find(std::string_view repository, std::string_view id,
                                              std::string_view client) {
  if (!belongs(id, repository)) return unknown(id);
  std::shared_ptr<Session> session;
  {
    std::lock_guard guard(mutex_);
    auto found = sessions_.find(id);
    if (found == sessions_.end()) {
      API_TRY(make_room(client));
      Result<std::unique_ptr<Upload>> upload = storage_.resume_upload(std::string(id));
      if (!upload && upload.error().kind == ErrorKind::not_found) return unknown(id);
      std::unique_ptr<Upload> resumed = API_TRY(std::move(upload));
      return add(std::string(id), std::move(resumed), client);
    }
    session = found->second;
    session->used = std::chrono::steady_clock::now();
  }
  // A client that lost its connection comes back before we have noticed that the old one is dead.
  std::unique_lock lock(session->busy, limits_.patience);
  if (!lock) return refuse(Code::too_many_requests, "another request of this upload is still going on");
  if (!session->upload) return unknown(id);
  return Use(*this, std::string(id), std::move(session), std::move(lock));
}

void UploadTable::end(const std::string& id, Session& session) noexcept {
  std::lock_guard guard(mutex_);
  session.used = std::chrono::steady_clock::now();
  if (!session.upload) sessions_.erase(id);
}

std::size_t UploadTable::size() const {
  std::lock_guard guard(mutex_);
  return sessions_.size();
}

void UploadTable::drop_idle() {
  std::lock_guard guard(mutex_);
  (void)make_room("");
}

}  // namespace berth::registryd
