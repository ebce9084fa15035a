// SPDX-License-Identifier: Apache-2.0
// A copy of a request for a backend whose answer nobody gets: a new version that is to be tried with what
// people really ask. The request itself never waits for its copy: a mirror that is slow loses it.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/worker/downstream.h"
#include "proxy/worker/exchange.h"

namespace berth::proxy {

class Mirrors;

class MirroredRequest final : public Downstream {
 public:
  MirroredRequest(Core& core, Mirrors& mirrors, const RequestHead& head, const Client& client);
  MirroredRequest(const MirroredRequest&) = delete;
  MirroredRequest& operator=(const MirroredRequest&) = delete;

  bool start(const RouteRef& route, std::string_view user);

  // Of the request that this is a copy of.
  void add_body(std::string_view data);
  void end_body();
  void abandon();  // it came to nothing

  Parsed<BodyReader::Piece> body() override;
  void body_took(std::size_t count) override;
  const Fields& body_trailers() const override { return no_trailers_; }
  void informational(int, std::string_view, const Fields&) override {}
  void begin_answer(const AnswerHead&) override {}
  std::size_t answer_body(std::string_view data) override { return data.size(); }
  void answer_whole(std::string_view) override {}
  void end_answer(const Fields&) override {}
  void cut_answer() override {}
  void flush_answer() override {}
  bool answer_is_stuck() const override { return false; }
  Connection* tunnel() override { return nullptr; }
  void wake() override;

 private:
  Mirrors& mirrors_;
  const HeadLimits& limits_;
  std::string head_text_, address_, body_;
  RequestHead head_;
  Client client_;
  const Fields no_trailers_;
  std::size_t taken_ = 0;
  bool ended_ = false;
  Exchange exchange_;
};

// All of one worker. Those that are fed are owned here, too: whoever feeds one asks whether it is there
// still.
class Mirrors {
 public:
  // 0: there are enough already.
  std::uint64_t start(Core& core, const RouteRef& route, const RequestHead& head, const Client& client,
                      std::string_view user);
  MirroredRequest* find(std::uint64_t number);
  void finished(MirroredRequest& request);
  void bury() { finished_.clear(); }  // between rounds
  void clear() {
    running_.clear();
    finished_.clear();
  }

 private:
  std::uint64_t last_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<MirroredRequest>> running_;
  std::vector<std::unique_ptr<MirroredRequest>> finished_;
};

}  // namespace berth::proxy
