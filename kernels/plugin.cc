#include "kernels/plugin.h"

#include <dlfcn.h>

#include <string_view>

#include "base/bytes_text.h"
#include "kernels/idle_backend.h"

namespace uhd {
namespace {

// Keeps in every program what the plugin takes from it and the program itself may not refer to.
[[gnu::used]] const void* const kForThePlugin[] = {reinterpret_cast<const void*>(&bytes_text),
                                                   reinterpret_cast<const void*>(&IdleBackend::nowhere)};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  void* library = dlopen("libuhd_cuda.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr)
    throw Error(message("backend.kind=cuda: the backend cannot be loaded: ", dlerror()));
  const auto* plugin = static_cast<const CudaPlugin*>(dlsym(library, "uhd_cuda_plugin"));
  require(plugin != nullptr, "backend.kind=cuda: libuhd_cuda.so is not a backend of this program");
  require(std::string_view(plugin->interface) == UHD_BACKEND_INTERFACE,
          "backend.kind=cuda: libuhd_cuda.so belongs to another build of this program");
  return plugin->make_backend(options);
}

const void* find_in_cuda_plugin(const char* name) {
  void* library = dlopen("libuhd_cuda.so", RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  return library == nullptr ? nullptr : dlsym(library, name);
}

}  // namespace uhd
