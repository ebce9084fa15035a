// SPDX-License-Identifier: Apache-2.0
// One stage from its FROM to its end. Only for this room's sources.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "build/copy_files.h"
#include "build/git_fetch.h"
#include "build/selection.h"
#include "build/solve.h"
#include "build/ssh_forward.h"
#include "build/workspace.h"
#include "dockerfile/config_changes.h"
#include "dockerfile/expand.h"
#include "dockerfile/mount.h"

namespace berth::build {

// What COPY and mounts take from.
struct SourceTree {
  std::shared_ptr<const Tree> tree;           // missing: there is no build context
  std::optional<std::vector<Digest>> layers;  // whose it is; missing: a context's
};

class StageBuilder {
 public:
  StageBuilder(Solve& solve, const PlannedStage& planned);
  Result<StageResult> run();

 private:
  // What an instruction came to.
  struct Made {
    std::optional<CachedResult> layer;  // missing: it changes the configuration alone
    bool cached = false;
    std::string history;  // as `history` shows it
  };

  // stage.cpp
  Result<void> begin();
  Result<void> fire(const std::string& trigger);
  Result<std::vector<std::string>> take_base(const Step& step);
  Result<oci::ImageConfig> config_of_base(const Step& step);
  Result<void> perform(const dockerfile::Instruction& instruction, const Step& step);
  Result<void> carry_out(const dockerfile::Instruction& instruction, const Step& step);
  void await_sources(const dockerfile::Instruction& instruction);
  Result<Made> dispatch(const dockerfile::Instruction& instruction, const Step& step);
  Result<Made> declare(const dockerfile::ArgInstruction& instruction, const dockerfile::Instruction& whole);
  Result<Made> enter_directory(const dockerfile::WorkdirInstruction& instruction, const Step& step);
  Result<Made> change_config(const dockerfile::Instruction& instruction);
  void record(const Made& made);
  Result<void> check_size() const;
  Step step_of(std::size_t place, std::string text) const;  // 0 is FROM
  std::unexpected<Error> failed_at(dockerfile::Position at, int last_line, Error error) const;
  dockerfile::Expansion expansion() const;
  std::optional<std::string> value_of(std::string_view name) const;
  std::string in_working_directory(std::string_view path) const;  // a trailing slash stays

  // stage_layer.cpp: from a key to a layer
  using Write = std::function<Result<void>(int root)>;  // into the stage's file system, mounted
  struct Writing {
    Write write;                   // may be done again from the start
    bool on_nothing = false;       // --link: whatever is below
    std::optional<Amount> amount;  // that it writes at most, if that is known
    bool from_live = false;        // what goes wrong may be another's directory's fault
  };
  Result<Made> layer_by_writing(const Digest& key, const Step& step, std::string history,
                                const Writing& writing);
  Result<Made> layer_of(const Digest& key, const Step& step, std::string history,
                        const std::function<Result<layers::Layer>()>& make, bool from_live = false);
  Result<layers::Layer> write_layer(const Writing& writing);
  Result<layers::Layer> write_layer_in(const std::string& place, const Writing& writing);
  Result<std::optional<CachedResult>> imported_result(const Digest& key, const Step& step);
  Result<layers::Layer> fetch_imported(const ImportedResult& imported);
  void announce(const Digest& diff_id);
  Result<layers::Layer> layer_from_upper(int upper);
  PartsDigest key_of(std::string_view kind, bool on_nothing = false) const;  // with what lies below
  bool may_use_cache() const;
  // Does it again when a live context has changed under it, a few times.
  Result<Made> while_it_changes(const std::function<Result<Made>()>& work) const;

  // stage_copy.cpp
  struct CopyPlan;
  Result<Made> copy(const dockerfile::CopyInstruction& instruction, const Step& step);
  Result<Made> copy_once(const dockerfile::CopyInstruction& instruction, const Step& step);
  Result<CopyPlan> plan_copy(const dockerfile::CopyInstruction& instruction);
  Result<void> download(CopyPlan& plan, const dockerfile::CopyInstruction& instruction);
  GitAccess git_access(const Workspace& work) const;
  Result<void> find_commit(CopyPlan& plan, const std::string& url,
                           const dockerfile::CopyInstruction& instruction);
  Result<void> write_repositories(const CopyPlan& plan, const CopyTarget& target) const;
  Result<void> find(CopyPlan& plan, bool parents);
  static Result<void> add_parents(CopyPlan& plan, const Source& source, const std::string& place);
  Result<Digest> write_source(const CopyPlan& plan, const Source& source, const CopyTarget& target);
  Result<bool> write_archive(const CopyPlan& plan, const Source& source, const CopyTarget& target,
                             SourceDigest& copied);
  Result<void> check_copied(const Digest& expected, const Digest& copied);
  static std::optional<Amount> amount_of(const CopyPlan& plan);
  PartsDigest copy_key(const CopyPlan& plan, const dockerfile::CopyInstruction& instruction) const;
  Result<void> write_copy(const CopyPlan& plan, const dockerfile::CopyInstruction& instruction, int root);
  // "" is the build context.
  Result<SourceTree> source_tree(const std::string& from, const Step& step);

  // stage_context.cpp: --build-context
  Result<oci::ImageConfig> image_of_context(const std::string& name,
                                            const std::optional<oci::Platform>& platform, const Step& step);
  Result<oci::ImageConfig> image_of_layout(const NamedContext::Layout& layout,
                                           const std::optional<oci::Platform>& platform);
  Result<SourceTree> tree_of_context(const std::string& name, const Step& step);
  oci::ImageConfig empty_image(const std::optional<oci::Platform>& platform) const;
  Result<std::optional<archive::Owner>> owner_of(const std::optional<dockerfile::Word>& chown);

  // stage_run.cpp
  struct MountedSource {
    SourceTree from;
    Source source;
    std::optional<Digest> contents;  // of it, where it is a context's
    std::string target;
    bool read_only = true;
  };
  struct MountedCache {
    dockerfile::Mount mount;
    SourceTree from;  // without a tree a new one is empty
    Source source;
  };
  struct MountedFile {
    std::string target;
    std::string content;
    std::uint32_t mode = 0400, uid = 0, gid = 0;
  };
  struct MountedAgent {
    const SshAgent* agent = nullptr;
    std::string target;
    SshForward::Owner owner;
  };
  // What --mount asks for, before anything is mounted.
  struct Mounts {
    std::vector<MountedSource> binds;
    std::vector<MountedCache> caches;
    std::vector<dockerfile::Mount> temporary;
    std::vector<MountedFile> files;
    std::vector<MountedAgent> agents;
    std::vector<std::string> environment;  // of secrets and agents
    PartsDigest digest;                    // of all that the result depends on
  };
  // While the step runs.
  struct OpenMounts {
    std::vector<std::unique_ptr<CacheMountUse>> caches;
    std::vector<Attached> attached;
    std::vector<std::unique_ptr<SshForward>> agents;
  };
  Result<Made> run_command(const dockerfile::RunInstruction& instruction, const Step& step);
  Result<Made> run_once(const dockerfile::RunInstruction& instruction, const Step& step);
  Result<layers::Layer> run_step(StepRequest request, const Mounts& mounts, const Step& step);
  Result<void> add_devices(const dockerfile::RunInstruction& instruction, StepRequest& request,
                           Mounts& mounts) const;
  Digest run_key(const StepRequest& request, std::string_view script, const Digest& mounts) const;
  std::string run_history(const StepRequest& request) const;
  Result<void> choose_network(const std::string& wanted, StepSettings& settings) const;
  Result<std::string> place_of(const dockerfile::Mount& mount) const;
  Result<Mounts> read_mounts(const dockerfile::RunInstruction& instruction, const Step& step);
  Result<Digest> contents_of(const SourceTree& from, const Source& source);
  Result<void> add_bind(const dockerfile::Mount& mount, const Step& step, Mounts& mounts);
  Result<void> add_cache(const dockerfile::Mount& mount, const Step& step, Mounts& mounts);
  Result<void> add_secret(const dockerfile::Mount& mount, Mounts& mounts);
  Result<void> add_agent(dockerfile::Mount mount, Mounts& mounts);
  static Result<void> open_agents(const std::vector<MountedAgent>& agents, const std::string& directory,
                                  OpenMounts& open, StepRequest& request);
  Result<void> open_mounts(const Mounts& mounts, const std::string& directory, OpenMounts& open,
                           StepRequest& request);
  Result<StepMount> open_bind(const MountedSource& source, const std::string& directory,
                              std::vector<Attached>& attached);
  Result<void> open_caches(const std::vector<MountedCache>& caches, OpenMounts& open, StepRequest& request);
  Result<void> open_files(const std::vector<MountedFile>& files, const std::string& directory,
                          std::vector<Attached>& attached, StepRequest& request);
  std::vector<std::string> environment() const;
  std::vector<std::string> argument_list() const;  // those that a step has as variables: "NAME=value"

  Solve& solve_;
  const PlannedStage& planned_;
  const dockerfile::Stage& stage_;
  oci::ImageConfig config_;
  dockerfile::ConfigState state_;
  std::map<std::string, std::string> arguments_;  // declared, with a value
  Timestamp last_change_;                         // of the newest layer
};

}  // namespace berth::build
