// SPDX-License-Identifier: Apache-2.0
// One request of a connection of HTTP/2, and its answer (http2_session.h). Belongs to the session, which
// tells it what comes and asks it for what is to be sent.
#pragma once
#include <nghttp2/nghttp2.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/worker/core.h"
#include "proxy/worker/exchange.h"

namespace berth::proxy {

class Http2Session;

class Http2Stream final : public Downstream {
 public:
  Http2Stream(Core& core, Http2Session& session, std::int32_t id)
      : core_(core), session_(session), id_(id), exchange_(core, *this) {}

  std::int32_t id() const noexcept { return id_; }
  Exchange& exchange() noexcept { return exchange_; }

  // Of the session.
  bool add_field(std::string_view name, std::string_view value);  // false: more than is taken
  void begin(bool body_follows);                                  // all fields have come
  void add_body(std::string_view data);
  void end_body() noexcept { body_ended_ = true; }
  void drop_body(std::size_t size);  // that comes behind the answer
  std::size_t untaken_body() const noexcept { return body_.size() - body_taken_; }
  ssize_t give_answer(std::uint8_t* to, std::size_t size, std::uint32_t& flags);

  // Of the session, once a window. False: it waits for the client, and hardly anything has come of that.
  static constexpr std::uint64_t kLeastBytes = 2'400;
  struct Window {
    bool may_send = true;     // the client: it is read from, and permitted to
    bool others_move = true;  // their answers go there, at a rate that is enough for all
  };
  bool check_rate(const Window& window);
  bool is_answered() const noexcept;  // to the end, and its request has not ended
  void want_no_more();                // of such a one

  // Of an Exchange.
  Parsed<BodyReader::Piece> body() override;
  void body_took(std::size_t count) override;
  const Fields& body_trailers() const override { return trailers_; }
  void informational(int status, std::string_view reason, const Fields& fields) override;
  void begin_answer(const AnswerHead& head) override;
  std::size_t answer_body(std::string_view data) override;
  void answer_whole(std::string_view data) override;
  void end_answer(const Fields& trailers) override;
  void cut_answer() override;
  void flush_answer() override;
  bool answer_is_stuck() const override { return answer_.size() > answered_; }
  Connection* tunnel() override { return nullptr; }
  void wake() override;

 private:
  friend class Http2Session;
  void refuse(int status);
  bool owes_body() const noexcept;  // and its backend's connection waits for that
  bool is_shut() const noexcept;    // the client takes nothing of the answer

  Core& core_;
  Http2Session& session_;
  const std::int32_t id_;

  // Of the request: pseudo fields, the others as lines, then the head that they make.
  std::string method_, path_, authority_, cookies_, lines_, head_text_;
  std::size_t fields_ = 0, block_bytes_ = 0;  // of the block of fields that comes
  unsigned informational_ = 0;
  std::string host_;  // of the field, where there is one beside :authority
  bool has_length_ = false, begun_ = false;
  RequestHead head_;
  std::string body_;
  std::size_t body_taken_ = 0;
  bool body_ended_ = false;
  std::string trailer_lines_;
  Fields trailers_;

  std::string answer_;
  std::size_t answered_ = 0;
  std::vector<std::pair<std::string, std::string>> answer_trailers_;
  bool answer_ended_ = false, wants_room_ = false, to_step_ = false, closed_ = false;
  bool all_given_ = false;  // of the answer, its end with it
  std::uint64_t moved_bytes_ = 0, checked_bytes_ = 0;
  std::size_t unasked_ = 0;  // of the body, behind the answer
  unsigned still_ = 0;       // windows in which it waited for the client, and hardly anything came of that
  Exchange exchange_;
};

}  // namespace berth::proxy
