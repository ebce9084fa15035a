// SPDX-License-Identifier: Apache-2.0
// Containers that come to networks and leave them.
#include "engine/lifecycle.h"

namespace berth::engine {

// `change` works on a copy of the record, as it takes a while. When the container ends meanwhile, what the
// change took is given back here: the end has given back what it knew of.
Result<void> Lifecycle::change_networks(const ContainerPointer& container,
                                        const std::function<Result<void>(ContainerRecord&, int)>& change) {
  std::lock_guard operation(container->operation);
  ContainerRecord before;
  int process;
  {
    std::unique_lock lock(container->mutex);
    // Else the record would be written back with what the last run is giving back.
    container->changed.wait(lock, [&] { return !container->ending; });
    if (container->alive() && !container->running())
      return fail(ErrorKind::conflict, "container {} is restarting, wait until the container is running",
                  container->record.id);
    before = container->record;
    process = container->running() ? container->state.pid : 0;
  }
  ContainerRecord record = before;
  TRY(change(record, process));
  bool ended;
  {
    std::lock_guard lock(container->mutex);
    ended = process != 0 && !container->alive();
    container->record.attachments = record.attachments;
    if (ended)
      for (Attachment& attachment : container->record.attachments) attachment.endpoint.reset();
    else
      container->record.ports = record.ports;
  }
  if (ended)
    launcher_.networks().release(record);
  else if (process != 0)
    launcher_.follow_places(before, record);
  return registry_.save(container, importance(*container));
}

Result<void> Lifecycle::connect(const ContainerPointer& container, const std::string& network,
                                const EndpointSettings& settings) {
  return change_networks(container, [&](ContainerRecord& record, int process) {
    return launcher_.networks().connect(record, process, network, settings);
  });
}

Result<void> Lifecycle::disconnect(const ContainerPointer& container, const std::string& network,
                                   bool force) {
  return change_networks(container, [&](ContainerRecord& record, int process) {
    return launcher_.networks().disconnect(record, process, network, force);
  });
}

}  // namespace berth::engine
