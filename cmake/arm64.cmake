# A toolchain for arm64: Debian's cross compiler, its packages for arm64 unpacked in a folder, and qemu to run tests.
# scripts/arm64 makes the folder and names it in UHD_SYSROOT.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES UHD_SYSROOT)
set(CMAKE_SYSROOT ${UHD_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${UHD_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${UHD_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${UHD_SYSROOT}/usr/share/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${UHD_SYSROOT})

# The compiler's wrapper that is found here is this machine's.
set(MPI_SKIP_COMPILER_WRAPPER TRUE)
set(MPI_CXX_LIB_NAMES mpi_cxx mpi)
foreach(library ${MPI_CXX_LIB_NAMES})
  set(MPI_${library}_LIBRARY ${UHD_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/lib/lib${library}.so)
endforeach()
set(MPI_CXX_HEADER_DIR ${UHD_SYSROOT}/usr/lib/aarch64-linux-gnu/openmpi/include)
