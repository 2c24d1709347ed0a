# What Postfathom builds on, all of it from Debian. Headers of libraries count as system headers,
# so that our warnings are about our code.
find_package(Threads REQUIRED)
find_package(Boost 1.81 CONFIG REQUIRED COMPONENTS headers json)
find_package(OpenSSL 3.0 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(tl-expected REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(lmdb REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(mnl REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(systemd REQUIRED IMPORTED_TARGET libsystemd)

# libunbound.pc asks for libevent's development files, which we do not need.
find_path(UNBOUND_INCLUDE_DIR unbound.h REQUIRED)
find_library(UNBOUND_LIBRARY unbound REQUIRED)
add_library(unbound INTERFACE)
target_include_directories(unbound SYSTEM INTERFACE ${UNBOUND_INCLUDE_DIR})
target_link_libraries(unbound INTERFACE ${UNBOUND_LIBRARY})

find_path(MILTER_INCLUDE_DIR libmilter/mfapi.h REQUIRED)
find_library(MILTER_LIBRARY milter REQUIRED)
add_library(milter_client INTERFACE)
target_include_directories(milter_client SYSTEM INTERFACE ${MILTER_INCLUDE_DIR})
target_link_libraries(milter_client INTERFACE ${MILTER_LIBRARY} Threads::Threads)

if(POSTFATHOM_TESTS)
  find_package(doctest REQUIRED)
endif()
