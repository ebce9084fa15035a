// SPDX-License-Identifier: Apache-2.0
#include "keeper/settings.h"

#include "base/json.h"

namespace berth::keeper {

std::string_view to_text(RestartCondition condition) {
  switch (condition) {
    case RestartCondition::no:
      return "no";
    case RestartCondition::always:
      return "always";
    case RestartCondition::unless_stopped:
      return "unless-stopped";
    case RestartCondition::on_failure:
      return "on-failure";
  }
  return "no";
}

Result<RestartCondition> parse_restart_condition(std::string_view text) {
  if (text.empty()) return RestartCondition::no;
  for (RestartCondition condition : {RestartCondition::no, RestartCondition::always,
                                     RestartCondition::unless_stopped, RestartCondition::on_failure})
    if (text == to_text(condition)) return condition;
  return fail(ErrorKind::invalid,
              "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', 'on-failure' "
              "or 'unless-stopped'",
              text);
}

std::string encode(const Settings& settings) {
  json::object document{
      {"id", settings.id},
      {"terminal", settings.terminal},
      {"openStdin", settings.open_stdin},
      {"stdinOnce", settings.stdin_once},
      {"log", json::object{{"path", settings.log.path},
                           {"maximumSize", settings.log.maximum_size},
                           {"maximumFiles", settings.log.maximum_files}}},
      {"restart", json::object{{"condition", to_text(settings.restart.condition)},
                               {"maximumRetries", settings.restart.maximum_retries}}},
      {"restartCount", settings.restart_count},
  };
  if (settings.overlay)
    document["overlay"] = json::object{{"lower", to_json(settings.overlay->lower)},
                                       {"upper", settings.overlay->upper},
                                       {"work", settings.overlay->work},
                                       {"volatile", settings.overlay->is_volatile}};
  return json::serialize(document);
}

Result<Settings> decode_settings(std::string_view text) {
  json::value document = TRY(parse_json(text, "the keeper's settings"));
  Settings settings;
  std::string condition;
  ObjectReader in(document, "");
  in.read("id", settings.id);
  in.read("terminal", settings.terminal);
  in.read("openStdin", settings.open_stdin);
  in.read("stdinOnce", settings.stdin_once);
  in.read("restartCount", settings.restart_count);
  in.read_object("overlay", [&](ObjectReader& overlay) {
    settings.overlay.emplace();
    overlay.read("lower", settings.overlay->lower);
    overlay.read("upper", settings.overlay->upper);
    overlay.read("work", settings.overlay->work);
    overlay.read("volatile", settings.overlay->is_volatile);
  });
  in.read_object("log", [&](ObjectReader& log) {
    log.read("path", settings.log.path);
    log.read("maximumSize", settings.log.maximum_size);
    log.read("maximumFiles", settings.log.maximum_files);
  });
  in.read_object("restart", [&](ObjectReader& restart) {
    restart.read("condition", condition);
    restart.read("maximumRetries", settings.restart.maximum_retries);
  });
  TRY(in.finish());
  settings.restart.condition = TRY(parse_restart_condition(condition));
  return settings;
}

}  // namespace berth::keeper
