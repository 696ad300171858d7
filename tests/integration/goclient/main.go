// Proof with a client no one here wrote: Kubernetes' own Go library (Debian's golang-k8s-client-go-dev), against three
// servers. Every step waits for what must come and fails with what did not.
//
// usage: goclient KUBECONFIG... : one for each server, the one to be killed last; the line "READY TO KILL" on standard
// output and the line "LEADER KILLED" on standard input frame the moment in which the caller kills it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

const (
	protobuf  = "application/vnd.kubernetes.protobuf"
	namespace = "goclient"
	patience  = 30 * time.Second
)

func fail(format string, args ...any) {
	fmt.Printf("FAIL: "+format+"\n", args...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func eventually(what string, done func() bool) {
	err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return done(), nil })
	must(err, what)
	fmt.Println("ok:", what)
}

func config(kubeconfig, contentType string) *rest.Config {
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(err, kubeconfig)
	c.ContentType = contentType
	c.AcceptContentTypes = contentType
	c.QPS, c.Burst = 1000, 1000
	return c
}

// ---- typed objects in protobuf ----

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": value},
		BinaryData: map[string][]byte{"b": {0, 255, 1}}}
}

func deployment(name string) *appsv1.Deployment {
	replicas := int32(0)
	selector := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: selector},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i",
				Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}}}}}
}

func typed(ctx context.Context, c kubernetes.Interface) {
	_, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(err, "creating the namespace")
	maps := c.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, configMap("typed", "1"), metav1.CreateOptions{})
	must(err, "create")
	if made.UID == "" || made.Data["v"] != "1" || !reflect.DeepEqual(made.BinaryData["b"], []byte{0, 255, 1}) {
		fail("what came back is not what was created: %+v", made)
	}
	_, err = maps.Create(ctx, configMap("typed", "1"), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		fail("a second create gave %v", err)
	}
	_, err = maps.Create(ctx, configMap("Wrong_Name", "1"), metav1.CreateOptions{})
	status, ok := err.(apierrors.APIStatus)
	if !apierrors.IsInvalid(err) || !ok || len(status.Status().Details.Causes) == 0 {
		fail("a wrong name gave %v", err)
	}
	made.Data["v"] = "2"
	stale := made.DeepCopy()
	made, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	must(err, "update")
	_, err = maps.Update(ctx, stale, metav1.UpdateOptions{})
	if !apierrors.IsConflict(err) {
		fail("an update of an old version gave %v", err)
	}
	_, err = maps.Patch(ctx, "typed", types.StrategicMergePatchType, []byte(`{"data":{"p":"3"}}`), metav1.PatchOptions{})
	must(err, "patch")
	got, err := maps.Get(ctx, "typed", metav1.GetOptions{})
	must(err, "get")
	if got.Data["v"] != "2" || got.Data["p"] != "3" {
		fail("get: %v", got.Data)
	}
	_, err = c.AppsV1().Deployments(namespace).Create(ctx, deployment("web"), metav1.CreateOptions{})
	must(err, "creating a deployment")
	must(retry.RetryOnConflict(retry.DefaultRetry, func() error { // the deployment's controller writes too
		scale, err := c.AppsV1().Deployments(namespace).GetScale(ctx, "web", metav1.GetOptions{})
		must(err, "scale")
		scale.Spec.Replicas = 0
		_, err = c.AppsV1().Deployments(namespace).UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
		return err
	}), "updating the scale")
	grace, policy := int64(0), metav1.DeletePropagationBackground
	must(maps.Delete(ctx, "typed", metav1.DeleteOptions{GracePeriodSeconds: &grace, PropagationPolicy: &policy,
		Preconditions: &metav1.Preconditions{UID: &got.UID}}), "delete")
	_, err = maps.Get(ctx, "typed", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		fail("get after delete gave %v", err)
	}
	fmt.Println("ok: typed objects in protobuf")
}

// ---- every kind: protobuf and JSON say the same ----

func rawList(ctx context.Context, c rest.Interface, path, accept string) (runtime.Object, error) {
	body, err := c.Get().AbsPath(path).SetHeader("Accept", accept).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	return obj, err
}

func sameInBoth(ctx context.Context, c kubernetes.Interface) {
	lists, err := discovery.ServerPreferredResources(c.Discovery())
	must(err, "discovery")
	n, objects := 0, 0
	for _, list := range lists {
		prefix := "/apis/"
		if !strings.Contains(list.GroupVersion, "/") {
			prefix = "/api/"
		}
		for _, resource := range list.APIResources {
			if !strings.Contains(strings.Join(resource.Verbs, ","), "list") {
				continue
			}
			path := prefix + list.GroupVersion + "/" + resource.Name
			json, err := rawList(ctx, c.Discovery().RESTClient(), path, "application/json")
			if runtime.IsNotRegisteredError(err) {
				continue // CustomResourceDefinitions and APIServices have clients of their own
			}
			must(err, path+" in JSON")
			binary, err := rawList(ctx, c.Discovery().RESTClient(), path, protobuf)
			must(err, path+" in protobuf")
			if !equality.Semantic.DeepEqual(items(json).Interface(), items(binary).Interface()) {
				for i := 0; i < items(json).Len(); i++ {
					a, b := items(json).Index(i), items(binary).Index(i)
					for f := 0; f < a.NumField(); f++ {
						if !equality.Semantic.DeepEqual(a.Field(f).Interface(), b.Field(f).Interface()) {
							fmt.Printf("%s: %#v\n%#v\n", a.Type().Field(f).Name, a.Field(f).Interface(), b.Field(f).Interface())
						}
					}
				}
				fail("%s differs", path)
			}
			n, objects = n+1, objects+items(json).Len()
		}
	}
	if n < 50 || objects < 100 {
		fail("only %d kinds with %d objects were compared", n, objects)
	}
	fmt.Printf("ok: %d kinds with %d objects are the same in JSON and protobuf\n", n, objects)
}

func items(list runtime.Object) reflect.Value {
	return reflect.ValueOf(list).Elem().FieldByName("Items")
}

// ---- server-side apply, dynamic and metadata clients ----

func applies(ctx context.Context, c kubernetes.Interface) {
	maps := c.CoreV1().ConfigMaps(namespace)
	first := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "1"})
	_, err := maps.Apply(ctx, first, metav1.ApplyOptions{FieldManager: "one"})
	must(err, "apply")
	second := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "2"})
	_, err = maps.Apply(ctx, second, metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) {
		fail("a second manager's apply gave %v", err)
	}
	got, err := maps.Apply(ctx, second, metav1.ApplyOptions{FieldManager: "two", Force: true})
	must(err, "apply by force")
	mine, err := coreapply.ExtractConfigMap(got, "two")
	must(err, "extracting what a manager owns")
	if got.Data["a"] != "2" || mine.Data["a"] != "2" {
		fail("apply: %v, extracted %v", got.Data, mine.Data)
	}
	_, err = c.AppsV1().Deployments(namespace).Apply(ctx, appsapply.Deployment("web", namespace).WithSpec(
		appsapply.DeploymentSpec().WithPaused(true)).WithAnnotations(map[string]string{"x": "y"}), metav1.ApplyOptions{FieldManager: "one"})
	must(err, "applying to a deployment")
	fmt.Println("ok: server-side apply")
}

func others(ctx context.Context, kubeconfig string) {
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	dynamicClient, err := dynamic.NewForConfig(config(kubeconfig, ""))
	must(err, "dynamic client")
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "dynamic"}, "data": map[string]any{"k": "v"}}}
	_, err = dynamicClient.Resource(maps).Namespace(namespace).Create(ctx, obj, metav1.CreateOptions{})
	must(err, "dynamic create")
	_, err = dynamicClient.Resource(maps).Namespace(namespace).Apply(ctx, "dynamic", obj, metav1.ApplyOptions{FieldManager: "d", Force: true})
	must(err, "dynamic apply")
	list, err := dynamicClient.Resource(maps).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	must(err, "dynamic list")
	if len(list.Items) != 1 || list.GetContinue() == "" {
		fail("a page of one has %d items, continue %q", len(list.Items), list.GetContinue())
	}
	metadataClient, err := metadata.NewForConfig(metadata.ConfigFor(config(kubeconfig, "")))
	must(err, "metadata client")
	partial, err := metadataClient.Resource(maps).Namespace(namespace).List(ctx, metav1.ListOptions{})
	must(err, "metadata list")
	found := false
	for _, one := range partial.Items {
		found = found || one.Name == "dynamic" && one.UID != ""
	}
	if !found {
		fail("the metadata list lacks an object: %+v", partial.Items)
	}
	fmt.Println("ok: dynamic and metadata clients")
}

// ---- informers and leader election, over the death of a server ----

type counts struct {
	sync.Mutex
	added, updated, deleted int
}

func informer(ctx context.Context, c kubernetes.Interface, seen *counts) informers.SharedInformerFactory {
	factory := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithNamespace(namespace))
	// The namespace's kube-root-ca.crt comes back whenever it is deleted.
	ours := func(o any) bool {
		key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
		return err == nil && !strings.HasSuffix(key, "/kube-root-ca.crt")
	}
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.FilteringResourceEventHandler{FilterFunc: ours, Handler: cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { seen.Lock(); seen.added++; seen.Unlock() },
		UpdateFunc: func(any, any) { seen.Lock(); seen.updated++; seen.Unlock() },
		DeleteFunc: func(any) { seen.Lock(); seen.deleted++; seen.Unlock() }}})
	must(err, "informer")
	factory.Apps().V1().Deployments().Informer()
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			fail("no cache of %v", kind)
		}
	}
	return factory
}

func elect(ctx context.Context, c kubernetes.Interface, id string, leading chan<- string) {
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, "election", c.CoreV1(), c.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: id})
	must(err, "lock")
	go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leading <- id },
			OnStoppedLeading: func() {}}})
}

// write keeps trying while there is no leader; what it acknowledges must be there for good.
func write(ctx context.Context, c kubernetes.Interface, name string) {
	err := retry.OnError(wait.Backoff{Steps: 200, Duration: 50 * time.Millisecond, Factor: 1}, func(error) bool { return true }, func() error {
		_, err := c.CoreV1().ConfigMaps(namespace).Create(ctx, configMap(name, "1"), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	must(err, "writing "+name)
}

func main() {
	ctx := context.Background()
	var clients []kubernetes.Interface
	for _, kubeconfig := range os.Args[1:] {
		c, err := kubernetes.NewForConfig(config(kubeconfig, protobuf))
		must(err, "client")
		clients = append(clients, c)
	}
	typed(ctx, clients[0])
	applies(ctx, clients[0])
	others(ctx, os.Args[1])
	sameInBoth(ctx, clients[0])

	// The first two servers live on; the third is the one that dies.
	seen := make([]counts, len(clients)-1)
	var factories []informers.SharedInformerFactory
	for i := range seen {
		factories = append(factories, informer(ctx, clients[i], &seen[i]))
	}
	leading := make(chan string, 4)
	first, step := context.WithCancel(ctx)
	elect(first, clients[0], "a", leading)
	if id := <-leading; id != "a" {
		fail("%s leads", id)
	}
	elect(ctx, clients[1], "b", leading)
	for i := 0; i < 20; i++ {
		write(ctx, clients[i%2], fmt.Sprintf("before-%d", i))
	}
	fmt.Println("READY TO KILL")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err, "standard input")
	if strings.TrimSpace(answer) != "LEADER KILLED" {
		fail("told %q", answer)
	}
	for i := 0; i < 20; i++ {
		write(ctx, clients[i%2], fmt.Sprintf("after-%d", i))
	}
	for i, factory := range factories {
		lister := factory.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace)
		eventually(fmt.Sprintf("informer %d has all that was written", i), func() bool {
			all, err := lister.List(labels.Everything())
			n := 0
			for _, one := range all {
				if strings.HasPrefix(one.Name, "before-") || strings.HasPrefix(one.Name, "after-") {
					n++
				}
			}
			return err == nil && n == 40
		})
	}
	step() // "a" gives the lease back
	select {
	case id := <-leading:
		fmt.Println("ok: the lease went to", id)
	case <-time.After(patience):
		fail("nobody took the lease over")
	}
	must(clients[0].CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}), "deleting all")
	for i := range seen {
		eventually(fmt.Sprintf("informer %d saw each object come and go", i), func() bool {
			seen[i].Lock()
			defer seen[i].Unlock()
			return seen[i].deleted == seen[i].added && seen[i].added >= 40
		})
	}
	fmt.Println("ALL OK")
}
