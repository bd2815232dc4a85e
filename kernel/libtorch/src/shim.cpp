// What `tch` does not pass on of LibTorch's C++ interface. A function returns null, or the text of what was thrown, which
// `bb_free` takes back. Lists of tensors are pointers to `at::Tensor`, as `tch::Tensor::as_ptr` gives them.
//
// No CUDA header is needed: the allocator and the synchronisation of a GPU are reached through c10's interfaces, behind
// which libtorch_cuda.so registers itself.

#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

namespace {

template <class Work>
char* caught(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

std::optional<at::Tensor> optional(const at::Tensor* tensor) {
  return tensor ? std::make_optional(*tensor) : std::nullopt;
}

std::vector<at::Tensor> list(const at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (size_t index = 0; index < count; ++index) all.push_back(*tensors[index]);
  return all;
}

c10::DeviceAllocator& allocator() {
  auto* found = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(c10::kCUDA));
  TORCH_CHECK(found, "CUDA's allocator keeps no statistics");
  return *found;
}

}  // namespace

extern "C" {

void bb_free(char* text) { std::free(text); }

// aten/src/ATen/native/native_functions.yaml: _fused_sgd_. Nothing changes if there is a `found_inf` and it holds 1.
char* bb_fused_sgd(
    const at::Tensor* const* weights, const at::Tensor* const* gradients, size_t count,
    const at::Tensor* const* means, size_t means_count, double rate, double momentum, double decay,
    bool nesterov, bool first, const at::Tensor* found_inf) {
  return caught([&] {
    at::_fused_sgd_(
        list(weights, count), list(gradients, count), list(means, means_count), decay, momentum, rate,
        /*dampening=*/0.0, nesterov, /*maximize=*/false, first, std::nullopt, optional(found_inf));
  });
}

// The same file: _fused_adam_. `steps` are counted with the present one.
char* bb_fused_adam(
    const at::Tensor* const* weights, const at::Tensor* const* gradients, size_t count,
    const at::Tensor* const* means, const at::Tensor* const* squares, const at::Tensor* steps, double rate,
    double beta1, double beta2, double epsilon, const at::Tensor* found_inf) {
  return caught([&] {
    std::vector<at::Tensor> counted(count, *steps);
    at::_fused_adam_(
        list(weights, count), list(gradients, count), list(means, count), list(squares, count),
        /*max_exp_avg_sqs=*/{}, counted, rate, beta1, beta2, /*weight_decay=*/0.0, epsilon,
        /*amsgrad=*/false, /*maximize=*/false, std::nullopt, optional(found_inf));
  });
}

// Waits for all of a GPU's streams.
char* bb_synchronize(int8_t device) {
  return caught([&] { c10::impl::getDeviceGuardImpl(c10::kCUDA)->synchronizeDevice(device); });
}

// The most bytes that tensors had on a GPU since the last reset.
char* bb_peak_bytes(int8_t device, int64_t* bytes) {
  return caught([&] {
    auto kind = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *bytes = allocator().getDeviceStats(device).allocated_bytes[kind].peak;
  });
}

char* bb_reset_peak(int8_t device) {
  return caught([&] { allocator().resetPeakStats(device); });
}

// Gives memory that no tensor uses back to the driver.
char* bb_empty_cache() {
  return caught([&] { allocator().emptyCache(); });
}

}  // extern "C"
