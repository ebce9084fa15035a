// SPDX-License-Identifier: Apache-2.0
// The program `git` on what strangers wrote: with no configuration but ours, no capability, no prompt, no
// hooks, and over no transport but https, http, ssh and git. It and all that it has started end with the
// call, with a stop at once, and with the engine.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::build {

inline constexpr auto kGitSilence = std::chrono::minutes(1);

struct GitSurroundings {
  std::string home;                             // a directory of its own: HOME, and where it runs
  std::map<std::string, std::string> settings;  // beside ours; through the environment: argv is for everybody
  std::stop_token stop;
  std::string agent;  // the path of an SSH agent's socket; "" for none
};

struct GitOutput {
  int exit_code = 0;
  std::string output;  // at most 16 MiB
  std::string errors;  // the end of it
};

// What is given of standard output, as it comes; an error ends the program.
using OnGitOutput = std::function<Result<void>(std::string_view)>;

// `arguments` begin with git's command. Whoever has put something in there that others wrote has put "--" in
// front of it. A program that says nothing for kGitSilence is given up.
Result<GitOutput> run_git(const GitSurroundings& surroundings, const std::vector<std::string>& arguments,
                          const OnGitOutput& on_output = {});

// The same, and an exit code other than 0 is an error with git's own words.
Result<std::string> git_says(const GitSurroundings& surroundings, const std::vector<std::string>& arguments);
Error git_error(const GitOutput& output);

}  // namespace berth::build
