// SPDX-License-Identifier: Apache-2.0
// A client's connection that speaks HTTP/1: reads heads, has an exchange for each, one after another, and
// frames the answers.
#pragma once
#include <string>

#include "proxy/worker/client_session.h"
#include "proxy/worker/core.h"
#include "proxy/worker/exchange.h"

namespace berth::proxy {

class ClientConnection final : public ClientSession, public Downstream {
 public:
  ClientConnection(Core& core, ClientHost& host, Fd socket, Ssl tls, std::string address,
                   const Client& client);

  void start() override;
  void on_events(std::uint32_t events) override;
  void on_deadline() override;
  void drain() override;
  bool idle() const noexcept { return !exchange_.active() && phase_ == Phase::head && input().empty(); }

  // Of an Exchange.
  Parsed<BodyReader::Piece> body() override;
  void body_took(std::size_t count) override;
  const Fields& body_trailers() const override { return body_.trailers(); }
  void informational(int status, std::string_view reason, const Fields& fields) override;
  void begin_answer(const AnswerHead& head) override;
  std::size_t answer_body(std::string_view data) override;
  void answer_whole(std::string_view data) override { queue(data); }
  void end_answer(const Fields& trailers) override;
  void cut_answer() override;
  void flush_answer() override { flush(); }
  bool answer_is_stuck() const override { return has_queued() || stuck_; }
  Connection* tunnel() override { return this; }
  void wake() override { run(); }

 private:
  enum class Phase : std::uint8_t { head, exchange, lingering, closed, handed_over };
  void run();
  bool step();
  bool begins_as_http2();
  bool read_head();
  void begin_exchange(std::size_t head_length);
  void refuse(const Refusal& refusal);
  void end_exchange();
  void begin_lingering(std::int64_t milliseconds);
  bool linger();
  void finish_closing();
  bool has_unread() const noexcept;
  std::int64_t moved_bytes() const noexcept;
  void watch_client();

  Phase phase_ = Phase::head;
  bool running_ = false;
  bool head_began_ = false, skipped_line_ = false, told_to_continue_ = false;
  bool asked_once_ = false;
  bool may_be_http2_ = false;  // nothing was asked yet
  bool keep_alive_ = true;
  bool asks_no_more_ = false;  // and sends no more: nothing that would be answered by a reset
  bool answer_ended_ = false;
  bool ends_by_close_ = false;  // the answer's end is the connection's
  bool stuck_ = false;
  std::int64_t seen_bytes_ = 0, checked_bytes_ = 0;  // that went either way, for the rate that is asked for
  bool still_ = false;  // the last window was one in which the client did not seem to read
  std::size_t lingered_ = 0;

  HeadSearch search_;
  std::string head_text_;
  RequestHead head_;  // views into head_text_
  BodyReader body_;
  BodyWriter answer_writer_;
  Exchange exchange_;
};

}  // namespace berth::proxy
