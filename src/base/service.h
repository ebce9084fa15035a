// SPDX-License-Identifier: Apache-2.0
// What every program that stays resident does once, at its start.
#pragma once

namespace berth {

// Keeps the allocator from holding on to what is not in use, and takes all descriptors that this process may
// have.
void prepare_to_stay();

}  // namespace berth
