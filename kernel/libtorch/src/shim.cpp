// Parts of LibTorch's C++ interface that `tch` does not expose. A function returns null, or the text of an exception,
// which `bb_free` frees. Lists of tensors are pointers to `at::Tensor`, as from `tch::Tensor::as_ptr`.
//
// No CUDA header is needed: a GPU's allocator and synchronisation are available through c10's interfaces, for which
// libtorch_cuda.so registers itself.

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <set>
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
  // Before CUDA is initialised the allocator refuses each GPU ("Invalid device argument").
  at::globalContext().lazyInitDevice(c10::kCUDA);
  auto* found = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(c10::kCUDA));
  TORCH_CHECK(found, "CUDA's allocator keeps no statistics");
  return *found;
}

// Replaces `count` numbers by their sums over the ranks; false if that fails.
using Sum = bool (*)(double* values, size_t count);

at::Tensor summed(const std::vector<at::Tensor>& parts, Sum sum) {
  std::vector<at::Tensor> doubles;
  for (const auto& part : parts) doubles.push_back(part.to(at::kDouble).flatten());
  auto all = at::cat(doubles);
  TORCH_CHECK(sum(all.mutable_data_ptr<double>(), all.numel()), "the sums over the ranks failed");
  return all;
}

// Batch normalisation over the examples of all ranks, like torch.nn.SyncBatchNorm, which has no implementation for the
// CPU. Mean and variance of the whole batch come from sums over the ranks, and so do the two means of the backward
// pass. The gradients of weight and bias are those of this rank's examples, as all gradients are.
struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
      const at::Tensor& bias, const std::optional<at::Tensor>& running_mean,
      const std::optional<at::Tensor>& running_variance, double momentum, double epsilon, int64_t sum) {
    auto channels = x.size(1);
    auto own = static_cast<double>(x.numel() / channels);
    auto mean = at::zeros({channels}, x.options()), variance = at::zeros({channels}, x.options());
    if (own > 0) std::tie(mean, variance) = at::batch_norm_update_stats(x, {}, {}, 0.0);
    mean = mean.to(at::kDouble);
    auto squares = variance.to(at::kDouble) + mean.square();
    auto count = at::full({1}, own, mean.options());
    auto sums = summed({mean * own, squares * own, count}, reinterpret_cast<Sum>(sum));
    auto total = sums[2 * channels].item<double>();
    mean = sums.narrow(0, 0, channels) / total;
    variance = (sums.narrow(0, channels, channels) / total - mean.square()).clamp_min(0.0);
    if (running_mean) {
      running_mean->mul_(1 - momentum).add_(mean, momentum);
      running_variance->mul_(1 - momentum).add_(variance * (total / (total - 1)), momentum);
    }
    mean = mean.to(weight.scalar_type()), variance = variance.to(weight.scalar_type());
    context->save_for_backward({x, weight, mean, variance});
    context->saved_data["total"] = total;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["sum"] = sum;
    return std::get<0>(
        at::native_batch_norm(x, weight, bias, mean, variance, /*training=*/false, momentum, epsilon));
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list outputs) {
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    auto total = context->saved_data["total"].toDouble(), epsilon = context->saved_data["epsilon"].toDouble();
    auto sum = reinterpret_cast<Sum>(context->saved_data["sum"].toInt());
    auto gradient = outputs[0].contiguous(x.suggest_memory_format());
    auto of_weight = at::zeros_like(weight), of_bias = at::zeros_like(weight);
    if (x.numel() > 0) {
      std::tie(std::ignore, of_weight, of_bias) = at::native_batch_norm_backward(
          gradient, x, weight, mean, variance, {}, {}, /*train=*/false, epsilon, {false, true, true});
    }
    // With x̂ = (x − mean) · inverse: dx = weight · inverse · (dy − mean(dy) − x̂ · mean(dy · x̂)).
    auto channels = x.size(1);
    auto sums = summed({of_bias, of_weight}, sum).to(weight.scalar_type()) / total;
    auto inverse = (variance + epsilon).rsqrt();
    auto slope = weight * inverse;
    auto by_x = -slope * inverse * sums.narrow(0, channels, channels);
    auto constant = -slope * sums.narrow(0, 0, channels) - by_x * mean;
    std::vector<int64_t> shape(x.dim(), 1);
    shape[1] = channels;
    auto of_x = at::addcmul(constant.view(shape), x, by_x.view(shape));
    of_x.addcmul_(gradient, slope.view(shape));
    torch::autograd::variable_list gradients(8);
    gradients[0] = of_x, gradients[1] = of_weight, gradients[2] = of_bias;
    return gradients;
  }
};

}  // namespace

extern "C" {

void bb_free(char* text) { std::free(text); }

// aten/src/ATen/native/native_functions.yaml: _fused_sgd_. Changes nothing if `found_inf` is given and holds 1.
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

// The same file: _fused_adam_. `steps` includes the current step.
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

// Batch normalisation in training over the examples of all ranks. `running_mean` and `running_variance` may be null.
char* bb_sync_batch_norm(
    const at::Tensor* x, const at::Tensor* weight, const at::Tensor* bias, const at::Tensor* running_mean,
    const at::Tensor* running_variance, double momentum, double epsilon, Sum sum, at::Tensor** output) {
  return caught([&] {
    *output = new at::Tensor(SyncBatchNorm::apply(
        *x, *weight, *bias, optional(running_mean), optional(running_variance), momentum, epsilon,
        reinterpret_cast<int64_t>(sum)));
  });
}

// Waits for all streams of a GPU.
char* bb_synchronize(int8_t device) {
  return caught([&] { c10::impl::getDeviceGuardImpl(c10::kCUDA)->synchronizeDevice(device); });
}

// The peak memory of tensors on a GPU since the last reset, in bytes.
char* bb_peak_bytes(int8_t device, int64_t* bytes) {
  return caught([&] {
    auto kind = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *bytes = allocator().getDeviceStats(device).allocated_bytes[kind].peak;
  });
}

char* bb_reset_peak(int8_t device) {
  return caught([&] { allocator().resetPeakStats(device); });
}

// Returns memory that no tensor uses to the driver.
char* bb_empty_cache() {
  return caught([&] { allocator().emptyCache(); });
}

// As in torch/autograd/profiler.py: this thread's operations and their allocations, and a GPU's kernels and copies.
char* bb_begin_profile(bool gpu) {
  return caught([&] {
    using namespace torch::profiler::impl;
    std::set<ActivityType> activities{ActivityType::CPU};
    if (gpu) activities.insert(ActivityType::CUDA);
    ProfilerConfig config(ProfilerState::KINETO, /*report_input_shapes=*/false, /*profile_memory=*/true);
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(config, activities);
  });
}

// Ends the profile and writes it as JSON for Perfetto.
char* bb_end_profile(const char* file) {
  return caught([&] { torch::autograd::profiler::disableProfiler()->save(file); });
}

}  // extern "C"
