// SPDX-License-Identifier: Apache-2.0
// For tests: a thread in a mount namespace of its own whose mounts are shared, as a machine's are under
// systemd.
#pragma once
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <functional>
#include <thread>

namespace berth::engine {

inline void among_shared_mounts(const std::function<void()>& work) {
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
    work();
  }).join();
}

}  // namespace berth::engine
