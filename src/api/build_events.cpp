// SPDX-License-Identifier: Apache-2.0
#include "api/build_events.h"

namespace berth::api {
namespace {

constexpr std::string_view kLeftOut = "\n[more output is left out here: it came faster than it was read]\n";

std::string name_of_stage(const build::Step& step) {
  return step.stage_name.value_or(fmt::format("stage-{}", step.stage));
}

}  // namespace

void EventProgress::planned(const std::vector<std::size_t>& stages) {
  std::lock_guard lock(mutex_);
  several_stages_ = stages.size() > 1;
}

void EventProgress::begun(const build::Step& step) {
  std::lock_guard lock(mutex_);
  if (step.is_work) begin(step);
}

void EventProgress::cached(const build::Step& step) {
  std::lock_guard lock(mutex_);
  if (Vertex* vertex = of(step)) vertex->cached = true;
}

void EventProgress::output(const build::Step& step, build::OutputStream stream, std::string_view data) {
  std::lock_guard lock(mutex_);
  Vertex* vertex = of(step);
  if (!vertex) return;
  WholeCharacters& text = stream == build::OutputStream::error ? vertex->error : vertex->standard;
  log(*vertex, stream, text.take(data));
}

void EventProgress::transfer(const build::Step& step, const image::TransferStatus& status) {
  std::lock_guard lock(mutex_);
  if (const Vertex* vertex = of(step))
    this->status(vertex->id, status.id, status.text, status.current, status.total);
}

void EventProgress::warning(std::string_view text) {
  std::lock_guard lock(mutex_);
  write_({{"warning", text}}, Keep::always);
}

void EventProgress::done(const build::Step& step, const Error* error) {
  std::lock_guard lock(mutex_);
  Vertex* vertex = of(step);
  const bool cancelled = error && error->kind == ErrorKind::cancelled;
  if (!vertex && error && !cancelled) vertex = &begin(step);
  if (!vertex) return;
  end(*vertex, error);
  running_.erase(step.stage);
}

void EventProgress::delivery_begun(std::string_view what) {
  std::lock_guard lock(mutex_);
  delivery_.emplace();
  delivery_->name = what;
  delivery_->total = total_;
  announce(*delivery_);
}

void EventProgress::delivered(std::string_view what) {
  std::lock_guard lock(mutex_);
  if (delivery_) status(delivery_->id, what, "");
}

void EventProgress::delivery_done(const Error* error) {
  std::lock_guard lock(mutex_);
  if (delivery_) end(*delivery_, error);
  delivery_.reset();
}

void EventProgress::line(const json::object& line) {
  std::lock_guard lock(mutex_);
  write_(line, Keep::always);
}

std::string EventProgress::name_of(const build::Step& step) const {
  const std::string stage = several_stages_ || step.stage_name ? name_of_stage(step) + " " : "";
  if (step.work == 0) return fmt::format("[{}] {}", name_of_stage(step), step.text);
  return fmt::format("[{}{}/{}] {}", stage, step.work, step.works, step.text);
}

EventProgress::Vertex& EventProgress::begin(const build::Step& step) {
  Vertex vertex;
  vertex.name = name_of(step);
  vertex.stage = name_of_stage(step);
  if (step.work == 0) ++unplanned_;
  vertex.total = total_ = step.all_works + unplanned_ + 1;  // the image comes last
  announce(vertex);
  return running_.insert_or_assign(step.stage, std::move(vertex)).first->second;
}

void EventProgress::announce(Vertex& vertex) {
  vertex.id = ++last_id_;
  vertex.started = now();
  write_({{"vertex", to_json(vertex)}}, Keep::always);
}

void EventProgress::end(Vertex& vertex, const Error* error) {
  finish_output(vertex);
  json::object told = to_json(vertex);
  told["completed"] = format_time_fixed(now());
  if (vertex.cached && !error) told["cached"] = true;
  if (error && error->kind == ErrorKind::cancelled)
    told["cancelled"] = true;
  else if (error)
    told["error"] = error->message;
  write_({{"vertex", std::move(told)}}, Keep::always);
}

EventProgress::Vertex* EventProgress::of(const build::Step& step) {
  const auto found = running_.find(step.stage);
  return found == running_.end() ? nullptr : &found->second;
}

json::object EventProgress::to_json(const Vertex& vertex) {
  return {{"id", vertex.id},
          {"name", vertex.name},
          {"stage", vertex.stage},
          {"total", vertex.total},
          {"started", format_time_fixed(vertex.started)}};
}

void EventProgress::finish_output(Vertex& vertex) {
  log(vertex, build::OutputStream::standard, vertex.standard.finish());
  log(vertex, build::OutputStream::error, vertex.error.finish());
  if (vertex.left_out) write_log(vertex, build::OutputStream::error, kLeftOut, Keep::always);
}

void EventProgress::log(Vertex& vertex, build::OutputStream stream, std::string_view text) {
  if (text.empty()) return;
  if (vertex.left_out)
    vertex.left_out = !write_log(vertex, build::OutputStream::error, kLeftOut, Keep::if_room);
  if (!vertex.left_out) vertex.left_out = !write_log(vertex, stream, text, Keep::if_room);
}

bool EventProgress::write_log(const Vertex& vertex, build::OutputStream stream, std::string_view text,
                              Keep keep) {
  return write_({{"log", json::object{{"vertex", vertex.id},
                                      {"stream", static_cast<int>(stream)},
                                      {"time", format_time_fixed(now())},
                                      {"data", text}}}},
                keep);
}

void EventProgress::status(std::int64_t vertex, std::string_view id, std::string_view text,
                           std::uint64_t current, std::uint64_t total) {
  json::object told{{"vertex", vertex}, {"id", id}, {"text", text}, {"time", format_time_fixed(now())}};
  if (total > 0) {
    told["current"] = current;
    told["total"] = total;
  }
  write_({{"status", std::move(told)}}, total > 0 ? Keep::if_room : Keep::always);
}

}  // namespace berth::api
