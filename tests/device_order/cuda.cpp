// Stands in for libtorch_cuda.so: loaded before torch is asked for CUDA, it brings three devices; afterwards none.
#include <ATen/detail/CUDAHooksInterface.h>

namespace at {
// torch looks for hooks of this very name.
struct CUDAHooks : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  bool hasCUDA() const override { return true; }
  int getNumGPUs() const override { return 3; }
  c10::DeviceIndex deviceCount() const override { return 3; }
};
REGISTER_CUDA_HOOKS(CUDAHooks);
} // namespace at
