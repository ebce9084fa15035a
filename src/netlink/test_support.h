// SPDX-License-Identifier: Apache-2.0
// For tests that change a host's network: that is a network namespace of the test's own; the machine's is
// never touched.
#pragma once
#include <gmock/gmock.h>
#include <sched.h>

#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace berth::netlink::test {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// What the body throws fails the test.
template <class Body>
void on_a_thread(Body body) {
  std::thread([&] {
    try {
      body();
    } catch (const std::exception& exception) {
      ADD_FAILURE() << exception.what();
    }
  }).join();
}

// The namespace ends with the thread.
template <class Body>
void in_own_namespace(Body body) {
  on_a_thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "this test needs CAP_SYS_ADMIN";
    body();
  });
}

}  // namespace berth::netlink::test
