// SPDX-License-Identifier: Apache-2.0
// A Dockerfile as a tree: what is written, before any variable has a value. Follows the reference of Docker's
// Dockerfile format, docker/dockerfile 1.x, whatever "# syntax=" names.
//
//   Dockerfile file = TRY(parse_dockerfile(text, "Dockerfile"));
//   for (const Stage& stage : file.stages) for (const Instruction& one : stage.instructions) ...
//
// Text is hostile. parse_dockerfile checks all that needs no variables: grammar, flags, numbers of arguments,
// that stages exist. Its errors (invalid) name file, line and column, suggest the near word, and show the
// lines. Whatever an instruction holds as `Word` still has its quotes and variables: expand.h gives it its
// value. Two things differ from what one expects, as they do in Docker: a flag's value has lost one layer of
// quotes and backslashes already (--chown='$USER' is a variable), and sources of COPY end at blanks, quoted
// or not.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace berth::dockerfile {

// In the file, both from 1. A column counts bytes.
struct Position {
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

// Text with its quotes, escapes and variables as they were written.
struct Word {
  std::string text;
  Position at;
};

// <<NAME ... NAME. Line endings are kept as they are in the file.
struct Heredoc {
  std::string name;     // as it names the file that COPY makes
  std::string content;  // without leading tabs where it was <<-NAME
  bool expand = true;   // false: the name was quoted, and the content is taken as it is
  Position at;          // of "<<"
};

// CMD, ENTRYPOINT, RUN, SHELL: either a JSON list or a text for the shell.
struct Command {
  bool exec = false;
  std::vector<std::string> words;  // exec: the list's; shell: one, the whole text
  std::vector<Heredoc> heredocs;   // shell form of RUN alone
  bool script = false;             // the text is one heredoc and nothing else: its content is what runs
};

// What a shell is to run: the text with its heredocs behind it, or the script. A script may begin with "#!":
// then it is a program, not a shell's. Nothing for the exec form.
std::string shell_text(const Command& command);

// One --mount of RUN: its fields in the order in which they are written, values still words. What they mean
// (and whether they are right once variables have values) is mount.h's to say.
struct MountFlag {
  Word text;
};

struct Assignment {
  Word name;
  Word value;
};

struct ArgInstruction {
  struct Argument {
    std::string name;
    std::optional<Word> value;
  };
  std::vector<Argument> arguments;
};
struct EnvInstruction {
  std::vector<Assignment> variables;
  bool legacy = false;  // "ENV name value"
};
struct LabelInstruction {
  std::vector<Assignment> labels;
  bool legacy = false;
};
struct MaintainerInstruction {
  std::string name;
};

struct RunInstruction {
  Command command;
  std::vector<MountFlag> mounts;
  std::string network;   // "", "default", "none", "host"
  std::string security;  // "", "sandbox", "insecure"
  std::vector<Word> devices;
};

// COPY and ADD.
struct CopyInstruction {
  bool add = false;
  std::vector<Word> sources;
  Word destination;
  std::vector<Heredoc> heredocs;  // each one more source, a file of its name
  std::optional<Word> from;       // a stage's name or number, a context's name, or an image; no variables
  std::optional<Word> chown, chmod;
  bool link = false;
  bool parents = false;
  std::vector<Word> excludes;
  std::optional<Word> checksum;     // ADD
  bool keep_git_directory = false;  // ADD
  std::optional<bool> unpack;       // ADD; missing: local archives are, others are not
};

struct CommandInstruction {  // CMD, ENTRYPOINT
  bool entrypoint = false;
  Command command;
};
struct ShellInstruction {
  std::vector<std::string> words;
};
struct ExposeInstruction {
  std::vector<Word> ports;
};
struct VolumeInstruction {
  std::vector<Word> paths;
};
struct UserInstruction {
  Word user;
};
struct WorkdirInstruction {
  Word path;
};
struct StopSignalInstruction {
  Word signal;
};
struct OnBuildInstruction {
  std::string instruction;  // as written, checked: "RUN make"; on several lines where it has heredocs
};

struct HealthCheckInstruction {
  bool none = false;
  Command command;
  std::optional<Word> interval, timeout, start_period, start_interval, retries;
};

using Content = std::variant<ArgInstruction, EnvInstruction, LabelInstruction, MaintainerInstruction,
                             RunInstruction, CopyInstruction, CommandInstruction, ShellInstruction,
                             ExposeInstruction, VolumeInstruction, UserInstruction, WorkdirInstruction,
                             StopSignalInstruction, OnBuildInstruction, HealthCheckInstruction>;

struct Instruction {
  std::string keyword;             // "RUN"
  std::string keyword_as_written;  // for the check of casing
  std::string original;            // its text on one line, continuations joined: "RUN a   && b"
  std::string comment;             // the lines directly above without their "#": "NAME text" describes an ARG
  Position at;
  int last_line = 0;  // heredocs included
  Content content;
};

struct Stage {
  std::string name;  // lower case; "" where it has none
  std::string name_as_written;
  Word base;  // of FROM: a stage, a named context, an image, or "scratch", with variables
  std::optional<Word> platform;
  std::string comment;  // the lines directly above without their "#": "name text", for outline and targets
  Position at;
  int last_line = 0;
  std::string original;
  std::string keyword_as_written;  // "FROM", for the check of casing
  std::string as_written;          // "AS" or "as", likewise; "" without a name
  std::vector<Instruction> instructions;
};

struct Directives {
  char escape = '\\';  // or '`'
  std::string syntax;
  std::string check;  // "skip=all;error=true"
};

struct Dockerfile {
  std::string name;  // how messages call it
  Directives directives;
  std::vector<Instruction> global_arguments;  // ARGs before the first FROM
  std::vector<Stage> stages;                  // one at least
  std::vector<std::string> lines;             // for messages
  std::vector<Position> empty_continuations;  // lines without text inside an instruction, one an instruction
};

inline constexpr std::size_t kLongestDockerfile = 1u << 20;  // bytes
inline constexpr std::size_t kMostInstructions = 10'000;
inline constexpr std::size_t kMostHeredocs = 100;  // of one instruction

// An empty file, or one without FROM, is an error.
Result<Dockerfile> parse_dockerfile(std::string_view text, std::string_view name);

// One instruction by itself, of ONBUILD for example. FROM is refused.
Result<Instruction> parse_instruction(std::string_view text, std::string_view name, char escape = '\\');
// Any number of them, of `commit --change`.
Result<std::vector<Instruction>> parse_instructions(std::string_view text, std::string_view name,
                                                    char escape = '\\');

// `error` as one of the file's: "Dockerfile:3:1: ...", then the lines around with the one marked. Control
// characters are not among what it shows.
Error located(const Dockerfile& file, Position at, int last_line, Error error);

// The stage with that name (case is not looked at; the last one, if several have it) or number before
// `before`; nothing if there is none. FROM does not take numbers: "FROM 0" is an image.
std::optional<std::size_t> find_stage(const Dockerfile& file, std::string_view name, std::size_t before);

}  // namespace berth::dockerfile
