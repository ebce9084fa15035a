// SPDX-License-Identifier: Apache-2.0
#include "keeper/assignment.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/json.h"
#include "keeper/paths.h"
#include "keeper/protocol.h"

namespace berth::keeper {

std::string encode_assignment(const std::string& run_directory, std::size_t layers) {
  return json::serialize(json::object{{"runDirectory", run_directory}, {"layers", layers}});
}

bool is_assigned(int control) {
  pollfd polled{control, POLLIN, 0};
  return poll(&polled, 1, 0) > 0;
}

Result<std::optional<Assignment>> wait_for_assignment(int control) {
  std::optional<Message> message = TRY(receive_message(control));
  if (!message) return std::nullopt;
  if (message->kind != MessageKind::serve)
    return fail(ErrorKind::invalid, "the keeper was told message {} before it had a container",
                static_cast<int>(message->kind));
  Assignment assignment;
  json::value document = TRY(parse_json(message->body, "the assignment"));
  ObjectReader in(document, "assignment");
  std::uint64_t layers = 0;
  in.read("runDirectory", assignment.run_directory);
  in.read("layers", layers);
  TRY(in.finish());
  std::vector<Fd>& given = message->descriptors;
  if (given.size() < layers || given.size() > layers + 1)
    return fail(ErrorKind::invalid, "an assignment with {} layers came with {} descriptors", layers,
                given.size());
  if (given.size() > layers) {
    assignment.network = std::move(given.front());
    given.erase(given.begin());
  }
  assignment.layers = std::move(given);
  return assignment;
}

void show_in_process_list(char* argument, const std::string& run_directory) {
  if (std::strlen(argument) == run_directory.size())
    std::memcpy(argument, run_directory.data(), run_directory.size());
}

Result<void> open_error_log(const std::string& run_directory) {
  Fd log = TRY(open_file(run_directory + "/" + kErrorLogFile, O_WRONLY | O_CREAT | O_APPEND, 0600));
  if (dup2(log.get(), STDERR_FILENO) < 0) return fail_errno(errno, "use {} as standard error", kErrorLogFile);
  return {};
}

}  // namespace berth::keeper
